/** Logs of one JSON object a line (`metrics.jsonl`, `completions.jsonl`), which a run that goes on cuts back to its checkpoint. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** The complete lines of a log; none where there is no file. */
export function readLines(path: string): string[] {
  return existsSync(path) ? completeLines(readFileSync(path, 'utf8')) : [];
}

/** Leaves only some of a log's lines in its file, in one step. @param keeps is given a line and its number, from 1. */
export function keepLines(path: string, keeps: (line: string, number: number) => boolean): void {
  if (!existsSync(path)) return;
  const before = readFileSync(path, 'utf8');
  const kept = completeLines(before).filter((line, i) => keeps(line, i + 1));
  const after = kept.map((line) => `${line}\n`).join('');
  if (after !== before) replace(path, after);
}

/** What stands behind the last line feed was being written when the process ended. */
function completeLines(text: string): string[] {
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  return complete.split('\n').filter((line) => line !== '');
}

function replace(path: string, contents: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = openSync(temporary, 'w');
  try {
    writeFileSync(file, contents);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}
