// Which words of a text are new.

/** Words, and single characters of scripts that write without spaces. */
export function tokens(text) {
  return text.match(/[\u3040-\u30ff\u3400-\u9fff\uff00-\uffef]|[^\s\u3040-\u30ff\u3400-\u9fff\uff00-\uffef]+|\s+/g) ?? [];
}

/** The tokens of a text of several lines; each line ends with one token. */
export function textTokens(text) {
  return text.split("\n").flatMap((line) => [...tokens(line), "\n"]);
}

/** The indexes of tokens of `after` that are not in a longest common subsequence with `before`. */
export function added(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const a = before.slice(start, before.length - end);
  const b = after.slice(start, after.length - end);
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const found = new Set();
  let i = 0;
  for (let j = 0; j < b.length;) {
    if (i < a.length && a[i] === b[j]) { i++; j++; }
    else if (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else found.add(start + j++);
  }
  return found;
}
