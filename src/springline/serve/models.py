"""What requests and responses look like: the models behind the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Require = Literal["now", "none"]
OnMiss = Literal["refuse", "state_age"]


class Form(BaseModel):
    """A request. Unknown fields are refused, so that a misspelt option is never ignored."""

    model_config = ConfigDict(extra="forbid")


RequireField = Annotated[
    Require,
    Field(
        description="now: reflect every change committed in the sources before this request. none: take what is there."
    ),
]
DeadlineField = Annotated[
    float, Field(gt=0, le=60_000, description="How long the recency barrier may wait, in milliseconds.")
]
OnMissField = Annotated[
    OnMiss,
    Field(
        description="When the deadline is missed: refuse the request, or answer and state how old each part is."
    ),
]


class AskForm(Form):
    question: str = Field(
        min_length=1, max_length=100_000, description="In any language.", examples=["Is my flight cancelled?"]
    )
    subject: str | None = Field(
        None, max_length=500, description="Who asks: the key of the subject, such as a customer id."
    )
    require: RequireField = "now"
    deadline_ms: DeadlineField = 2_000
    on_miss: OnMissField = "refuse"
    language: str | None = Field(
        None, max_length=20, description="Answer in this language; default: the question's."
    )
    previous: str | None = Field(
        None,
        max_length=64,
        description="Receipt of the answer that you have: while its context is the same, it stands and is returned again.",
    )
    stream: bool = Field(
        False, description="Answer as server-sent events: `token` …, then `answer`; `error` on failure."
    )


class QueryForm(Form):
    sql: str = Field(min_length=1, max_length=1_000_000, description="One SELECT over tables and views.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Values for `:name` in the statement."
    )
    require: RequireField = "none"
    deadline_ms: DeadlineField = 2_000
    on_miss: OnMissField = "refuse"
    limit: int = Field(100, ge=1, le=100_000, description="Most rows to return.")


class ReloadForm(Form):
    tables: list[str] = Field(
        default_factory=list,
        max_length=1_000,
        description="Names like `source.table`, or a source; none: all.",
    )


class Reloaded(BaseModel):
    tables: list[str] = Field(description="What is being loaded again.")


class SearchForm(Form):
    text: str = Field(min_length=1, max_length=100_000, description="What to look for.")
    knowledge_base: str = Field(max_length=500, description="Name of the knowledge base.")
    require: RequireField = "none"
    deadline_ms: DeadlineField = 2_000
    on_miss: OnMissField = "refuse"
    limit: int = Field(8, ge=1, le=10_000, description="Most passages to return.")


class ErrorModel(BaseModel):
    """Every response that is not a success."""

    code: str = Field(description="Stable; part of the interface.", examples=["not_fresh"])
    message: str = Field(description="What happened, where, and what was found.")
    hint: str | None = Field(description="What to do next.")
    transient: bool = Field(description="Whether the same request may succeed later.")


class FreshnessModel(BaseModel):
    require: Require
    met: bool = Field(description="Whether the barrier was reached in time.")
    waited_ms: float
    missing: list[str] = Field(
        default_factory=list[str], description="Sources that were not reached in time."
    )


class AgeModel(BaseModel):
    applied: str
    complete_through: str
    as_of_us: int | None
    age_ms: float | None = Field(description="How long ago this source's part was known to be current.")
    loading: list[str]


class SnapshotModel(BaseModel):
    tick: int
    taken_at_us: int
    positions: dict[str, str] = Field(description="How far each source is applied.")
    ages: dict[str, AgeModel]


class CitationModel(BaseModel):
    id: int = Field(description="The number in the answer's text: [1], [2], …")
    kind: Literal["row", "passage"]
    relation: str | None = None
    document: str | None = None
    key: dict[str, Any] | None = None
    title: str
    text: str | None = None
    columns: dict[str, Any] | None = None
    section: list[str] = Field(default_factory=list[str])
    source: str
    position: str | None = None
    age_ms: float | None = Field(None, description="How long ago this was known to be current.")
    changed_at: str | None = Field(
        None, description="When it last changed in the source, where the source tells."
    )
    badges: dict[str, Literal["recorded", "modelled", "generated"]] = Field(
        default_factory=dict[str, Literal["recorded", "modelled", "generated"]]
    )


class AnswerSnapshotModel(BaseModel):
    tick: int
    positions: dict[str, str]
    ages: dict[str, float | None] = Field(description="Milliseconds, by source.")


class AnswerModel(BaseModel):
    """An answer and what it rests on."""

    answer: str = Field(description="With markers [1], [2] that refer to `citations`.")
    mode: Literal["extractive", "model"]
    model: str | None
    notice: str | None = Field(description="For people: for example that no language model is configured.")
    known: bool = Field(
        True, description="false: the context does not hold the answer, and the answer says so."
    )
    flags: list[dict[str, str]] = Field(
        default_factory=list[dict[str, str]], description="What a reader should know: `kind` and `text`."
    )
    language: str
    question: str
    subject: str | None
    citations: list[CitationModel]
    snapshot: AnswerSnapshotModel
    freshness: FreshnessModel
    receipt: str | None = Field(description="Id of the record that proves this answer.")
    took_ms: dict[str, float] = Field(description="barrier, context, answer, total.")


class QueryAnswer(BaseModel):
    columns: list[dict[str, str]] = Field(description="Name and SQL type of each column.")
    rows: list[dict[str, Any]] = Field(description="DECIMAL as text, temporals in ISO 8601, BYTES in base64.")
    relations: list[str] = Field(description="Tables and views that were read.")
    truncated: bool = Field(description="Whether there are more rows than the limit.")
    snapshot: SnapshotModel
    freshness: FreshnessModel


class SearchAnswer(BaseModel):
    hits: list[dict[str, Any]]
    snapshot: SnapshotModel
    freshness: FreshnessModel


class RelationSummary(BaseModel):
    name: str
    kind: Literal["table", "view", "late"]
    state: Literal["loading", "live", "building", "stopped"]
    rows: int
    tick: int = Field(description="The tick that last changed it.")
    error: str | None
    building: str | None = Field(None, description="How far the view's next version is, while it is built.")
    state_bytes: int | None = Field(
        None, description="What it takes in the state, indexes and upkeep included, when last measured."
    )
    key: list[str]
    columns: list[dict[str, Any]]
    comment: str


class RelationList(BaseModel):
    relations: list[RelationSummary]
    tick: int


class RelationPage(BaseModel):
    name: str
    columns: list[dict[str, Any]]
    key: list[str]
    rows: list[dict[str, Any]]
    next: str | None = Field(description="Pass as `after` for the following page; null on the last.")
    snapshot: SnapshotModel


class Explanation(BaseModel):
    view: str
    text: str


class Verification(BaseModel):
    model_config = ConfigDict(extra="allow")

    receipt: str
    verified: bool | None = Field(description="null: the log no longer holds what the answer was based on.")
    detail: str
    differences: list[Any] = Field(default_factory=list[Any])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    ready: Literal[True] = True
    tick: int


class PageFeatures(BaseModel):
    """What the page shows."""

    name: str
    version: str
    features: list[str]
    mode: Literal["extractive", "model"]
    model: str | None
    knowledge_bases: list[str]
    question_characters: int
