/** `completions.jsonl`: some completions of each step with their scores, to read what the policy becomes. */
import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Content } from '../../data/index.ts';
import { ioFailed } from '../../models/files/index.ts';
import { keepLines, readLines } from '../lines.ts';

export const COMPLETIONS_FILE = 'completions.jsonl';

/** One line. */
export interface LoggedCompletion {
  readonly step: number;
  readonly prompt: Content;
  readonly completion: string;
  /** As the reward functions gave it, before what a missing end costs. */
  readonly score: number;
  /** Summed over its tokens, in nats. */
  readonly kl: number;
  readonly tokens: number;
  readonly finished: boolean;
}

export class CompletionLog implements Disposable {
  readonly path: string;
  readonly #file: number;

  private constructor(path: string, file: number) {
    this.path = path;
    this.#file = file;
  }

  /** Opens the log of a run's directory. @param resumeAt what was written of later steps is dropped; null: of all. */
  static open(directory: string, resumeAt: number | null): CompletionLog {
    const path = join(directory, COMPLETIONS_FILE);
    try {
      keepLines(path, (line) => resumeAt !== null && parse(line).step <= resumeAt);
      return new CompletionLog(path, openSync(path, 'a'));
    } catch (error) {
      throw ioFailed('open', path, error);
    }
  }

  write(completions: readonly LoggedCompletion[]): void {
    try {
      writeFileSync(this.#file, completions.map(lineOf).join(''));
    } catch (error) {
      throw ioFailed('write', this.path, error);
    }
  }

  /** Brings everything to the disk itself: before a checkpoint is published that relies on it. */
  flush(): void {
    fsyncSync(this.#file);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Reads a run's completions; an unfinished last line is left out. An empty list where there is no file. */
export function readCompletions(directory: string): LoggedCompletion[] {
  return readLines(join(directory, COMPLETIONS_FILE)).map(parse);
}

const parse = (line: string): LoggedCompletion => JSON.parse(line) as LoggedCompletion;
const lineOf = (completion: LoggedCompletion): string => `${JSON.stringify(completion)}\n`;
