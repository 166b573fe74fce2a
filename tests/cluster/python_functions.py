"""A scenario with Python functions, and the functions: a module that imports only what Flink's Python has."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

SCENARIO = """# Python functions

A row for which a function raises is left out.

```table shop.people
id INT NOT NULL
mail STRING
score DECIMAL(6, 2)
PRIMARY KEY (id)
```

```view domains
SELECT DOMAIN(mail) AS domain, COUNT(*) AS people FROM people GROUP BY DOMAIN(mail)
```

```view doubled
SELECT id, TWICE(score) AS score FROM people
```

```view said
SELECT w.word, COUNT(*) AS n FROM people AS p LEFT JOIN LATERAL TABLE(WORDS(p.mail)) AS w(word, place) ON TRUE GROUP BY w.word
```

```changes shop.people
  | id | mail      | score
+ | 1  | Ann@X.org | 1.50
+ | 2  | bob@x.org | 9000.00
+ | 3  | nobody    | NULL
```

```expect domains
  | domain | people
+ | x.org  | 2
```

```expect doubled
  | id | score
+ | 1  | 3.00
+ | 3  | NULL
```

```expect said
  | word  | n
+ | Ann   | 1
+ | bob   | 1
+ | X.org | 1
+ | x.org | 1
```

```changes shop.people
  | id | mail      | score
- | 2  | bob@x.org | 9000.00
+ | 2  | bob@y.org | 2.00
```

```expect domains
  | domain | people
- | x.org  | 2
+ | x.org  | 1
+ | y.org  | 1
```

```expect doubled
  | id | score
+ | 2  | 4.00
```

```expect said
  | word  | n
- | x.org | 1
+ | y.org | 1
```
"""


def domain(mail: str) -> str:
    """What follows the @; raises where there is none."""
    return mail.lower().split("@")[1]


def twice(score: Decimal | None) -> Decimal | None:
    """A DECIMAL(6, 2), which 18000.00 is not."""
    return None if score is None else score * 2


def words(text: str) -> Iterator[tuple[str, int]]:
    """The parts of a mail address with their places."""
    if "@" not in text:
        raise ValueError(f"{text} is no address")
    for place, word in enumerate(text.split("@")):
        yield word, place
