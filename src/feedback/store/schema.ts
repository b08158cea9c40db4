/**
 * The tables, as Kysely sees them. Column types are those that SQLite's strict tables and PostgreSQL share: text, integer, and
 * 8-byte floats. JSON is text in canonical form, times are ISO 8601 in UTC with milliseconds, flags are 0 or 1, ids are
 * SHA-256 of the contents.
 */

export interface Tables {
  projects: { id: string; time: string };
  prompts: { id: string; project: string; content: string; extra: string; time: string };
  completions: {
    id: string;
    prompt: string;
    content: string;
    origin: string;
    token_ids: string | null;
    logprobs: string | null;
    model: string | null;
    sampling: string | null;
    seed: number | null;
    extra: string;
    time: string;
  };
  tasks: { id: string; project: string; prompt: string; key: string; extra: string; time: string };
  task_completions: { task: string; position: number; completion: string };
  labellers: { id: string; kind: string; name: string; profile: string; time: string };
  labeller_events: { labeller: string; number: number; kind: string; reason: string; time: string };
  displays: {
    id: string;
    task: string;
    labeller: string;
    shown_order: string;
    guideline_version: string | null;
    client_version: string | null;
    time: string;
  };
  judgements: {
    id: string;
    task: string;
    labeller: string;
    client_key: string;
    kind: string;
    ranks: string | null;
    none_good: number;
    strength: number | null;
    margin: number | null;
    flags: string;
    reason: string | null;
    displayed_order: string | null;
    latency_ms: number | null;
    guideline_version: string | null;
    client_version: string | null;
    supersedes: string | null;
    time: string;
  };
  snapshots: { id: string; project: string; filter: string; judgements: number; time: string };
  snapshot_judgements: { snapshot: string; judgement: string };
}
