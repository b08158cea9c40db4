/**
 * From a path to the files of a model: one, or the parts of a split one, `name-00001-of-00003.gguf`.
 *
 * Each part has a header of its own; `split.no`, `split.count` and `split.tensors.count` in its metadata say what belongs
 * together. The model's metadata is that of the first part.
 */

import { basename, dirname, join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { errorCode, FileSource, quote } from '../files/index.ts';
import { type GgufHeader, readGgufHeader } from './header.ts';
import { ggufCount } from './metadata.ts';

/** An open file with its header. */
export interface Part {
  readonly source: FileSource;
  readonly header: GgufHeader;
}

const PART_NAME = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/;
const TOGETHER = 'Download every part again from the same source, and keep their names and directory.';

/**
 * Opens a file, or all parts of a split model given any of them, in order.
 *
 * @param opened closes the files when the caller fails.
 * @throws NudgeError IO_FAILED when the path cannot be opened, BAD_FILE when a part is damaged, missing or of another model.
 */
export async function openParts(path: string, opened: AsyncDisposableStack): Promise<Part[]> {
  const first = await openPart(path, opened);
  const count = ggufCount(first.header.metadata, 'split.count') ?? 1;
  const named = PART_NAME.exec(basename(path));
  const [stem, number, total] = [named?.[1], Number(named?.[2]), Number(named?.[3])];
  if (count <= 1) {
    if (named === null || total === 1) return [first];
    throw splitError(path, `"split.count" ${total} in its metadata, by its name`, `${count}`);
  }
  if (named === null) {
    throw splitError(
      path,
      `a name such as model-00001-of-${pad(count)}.gguf, since it is a part of ${count}`,
      quote(basename(path)),
    );
  }
  const parts: Part[] = [];
  for (let i = 1; i <= total; i++) {
    const file = join(dirname(path), `${stem}-${pad(i)}-of-${pad(total)}.gguf`);
    const part = i === number ? first : await openMissable(file, path, opened);
    checkPart(part, i, total);
    parts.push(part);
  }
  checkTensorCount(parts, path);
  return parts;
}

async function openPart(path: string, opened: AsyncDisposableStack): Promise<Part> {
  const source = opened.use(await FileSource.open(path));
  return { source, header: await readGgufHeader(source) };
}

async function openMissable(file: string, path: string, opened: AsyncDisposableStack): Promise<Part> {
  try {
    return await openPart(file, opened);
  } catch (cause) {
    if (!(cause instanceof NudgeError) || errorCode(cause.cause) !== 'ENOENT') throw cause;
    throw new NudgeError('BAD_FILE', 'A part of this model is missing.', {
      path,
      expected: `the file ${quote(basename(file))} beside it`,
      received: 'no such file',
      remedy: 'Download the missing part; the model is incomplete without it.',
      cause,
    });
  }
}

function checkPart({ source, header }: Part, number: number, total: number): void {
  const count = ggufCount(header.metadata, 'split.count');
  const index = ggufCount(header.metadata, 'split.no');
  if (count !== total || index !== number - 1) {
    const expected = `part ${number} of ${total}, by its name`;
    throw splitError(
      source.label,
      expected,
      `part ${index === undefined ? '?' : index + 1} of ${count ?? '?'}, by its metadata`,
    );
  }
}

function checkTensorCount(parts: readonly Part[], path: string): void {
  const expected = ggufCount(parts[0]?.header.metadata ?? new Map(), 'split.tensors.count');
  const seen = new Map<string, string>();
  for (const { source, header } of parts) {
    for (const name of header.tensors.keys()) {
      const other = seen.get(name);
      if (other !== undefined)
        throw splitError(`${source.label}, tensor ${quote(name)}`, 'every tensor in one part', `also in ${other}`);
      seen.set(name, source.label);
    }
  }
  if (expected === undefined || expected === seen.size) return;
  throw splitError(path, `${expected} tensors in all parts, by "split.tensors.count"`, String(seen.size));
}

function splitError(path: string, expected: string, received: string): NudgeError {
  const summary = 'The parts of this split GGUF model do not fit together.';
  return new NudgeError('BAD_FILE', summary, { path, expected, received, remedy: TOGETHER });
}

const pad = (number: number) => String(number).padStart(5, '0');
