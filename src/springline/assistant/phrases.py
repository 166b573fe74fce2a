"""The assistant's own sentences, in every language that it speaks. What it says about the world is never here: that is quoted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from springline.context.language import choose

PHRASES: Final[Mapping[str, Mapping[str, str]]] = {
    "unknown": {
        "en": "I do not know: nothing that I was given answers this.",
        "zh-TW": "我不知道：目前的資料無法回答這個問題。",
        "zh-CN": "我不知道：目前的资料无法回答这个问题。",
        "ja": "分かりません。手元の情報には、この質問への答えがありません。",
    },
    "no_model": {
        "en": "No language model is configured: this answer quotes the rows and documents that it rests on.",
        "zh-TW": "尚未設定語言模型：本回答直接引用資料與文件。",
        "zh-CN": "尚未配置语言模型：本回答直接引用数据与文件。",
        "ja": "言語モデルが設定されていないため、データと文書をそのまま引用しています。",
    },
    "model_failed": {
        "en": "The language model did not answer ({reason}): this answer quotes the rows and documents that it rests on.",
        "zh-TW": "語言模型沒有回應（{reason}）：本回答直接引用資料與文件。",
        "zh-CN": "语言模型没有回应（{reason}）：本回答直接引用数据与文件。",
        "ja": "言語モデルから回答が得られなかったため（{reason}）、データと文書をそのまま引用しています。",
    },
    "no_subject": {
        "en": "Nobody was named as the subject, so only general information was used.",
        "zh-TW": "未指定查詢對象，因此只引用一般資訊。",
        "zh-CN": "未指定查询对象，因此只引用一般信息。",
        "ja": "対象者が指定されていないため、一般的な情報だけを使いました。",
    },
    "not_fresh": {
        "en": "Not up to date with {sources}: the ages of its facts are stated.",
        "zh-TW": "{sources} 的資料尚未更新至最新：各項資料均標示時間。",
        "zh-CN": "{sources} 的资料尚未更新至最新：各项资料均标示时间。",
        "ja": "{sources} の最新の変更はまだ反映されていません。各情報の時点を示しています。",
    },
    "loading": {
        "en": "Still being loaded: {tables}.",
        "zh-TW": "仍在載入：{tables}。",
        "zh-CN": "仍在载入：{tables}。",
        "ja": "読み込み中：{tables}。",
    },
    "flagged": {
        "en": "Please check: the context does not hold {figures}.",
        "zh-TW": "請留意：資料中沒有 {figures}。",
        "zh-CN": "请留意：资料中没有 {figures}。",
        "ja": "ご確認ください。{figures} は元の情報にありません。",
    },
    "cut_off": {
        "en": "The language model's answer was cut off.",
        "zh-TW": "語言模型的回答未完整結束。",
        "zh-CN": "语言模型的回答未完整结束。",
        "ja": "言語モデルの回答は途中で切れています。",
    },
    "more": {"en": "and {count} more", "zh-TW": "另有 {count} 筆", "zh-CN": "另有 {count} 条", "ja": "ほか {count} 件"},
    "many_more": {"en": "and many more", "zh-TW": "以及其他多筆", "zh-CN": "以及其他多条", "ja": "ほか多数"},
    "documents_say": {
        "en": "From the documents:",
        "zh-TW": "相關文件：",
        "zh-CN": "相关文件：",
        "ja": "関連する文書：",
    },
    "quote": {"en": "“{text}”", "zh-TW": "「{text}」", "zh-CN": "“{text}”", "ja": "「{text}」"},
    "title_separator": {"en": ": ", "zh-TW": "：", "zh-CN": "：", "ja": "："},
}  # fmt: skip


def phrase(name: str, language: str, **values: str) -> str:
    """A sentence in a language, with its places filled. Values are inserted, not interpreted."""
    text = choose(PHRASES[name], language) or ""
    for place, value in values.items():
        text = text.replace("{" + place + "}", value)
    return text
