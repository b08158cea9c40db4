/** Writing a GGUF file, so that a crash at any moment leaves the old file or the new one. Runs without libtorch. */

import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { bytes, fileExists, quote, showShape, syncDirectory, TemporaryFile } from '../files/index.ts';
import { type GgufRawTensor, layOutGguf, type PlannedTensor } from './layout.ts';
import type { GgufMetadata } from './metadata.ts';

export interface GgufWriteOptions {
  /** Replace the file at this path. Default: false, refuse. */
  overwrite?: boolean;
}

const EXTENSION = '.gguf';

/**
 * Writes metadata and tensors given as bytes, in the order given. See `saveGguf` for the promises it keeps.
 *
 * @returns the size of the file in bytes.
 */
export async function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: Iterable<readonly [string, GgufRawTensor]>,
  { overwrite = false }: GgufWriteOptions = {},
): Promise<number> {
  const layout = layOutGguf(metadata, tensors);
  await checkDestination(path, overwrite);
  await using file = await TemporaryFile.create(path);
  await file.write(layout.header);
  for (const planned of layout.tensors) await writeTensor(file, planned);
  await file.seal();
  await file.publish(overwrite);
  await syncDirectory(dirname(path));
  file.release();
  return layout.fileBytes;
}

async function checkDestination(path: string, overwrite: boolean): Promise<void> {
  if (!path.endsWith(EXTENSION) || basename(path) === EXTENSION) {
    throw new NudgeError('BAD_ARGUMENT', 'This is not a path for a GGUF file.', {
      path,
      expected: `a file name that ends in ${EXTENSION}`,
      received: quote(basename(path)),
      remedy: `Save to for example ${join(path, `model${EXTENSION}`)}.`,
    });
  }
  const found = await stat(path).catch(() => null);
  if (found !== null && (!overwrite || found.isDirectory())) throw fileExists([path]);
}

async function writeTensor(file: TemporaryFile, { name, tensor, size, padding }: PlannedTensor): Promise<void> {
  const data = typeof tensor.bytes === 'function' ? await tensor.bytes() : tensor.bytes;
  let written = 0;
  for await (const piece of data instanceof Uint8Array ? [data] : data) {
    written += piece.length;
    if (written > size) break;
    await file.write(piece);
  }
  if (written !== size) {
    throw new NudgeError('BAD_ARGUMENT', 'The data of this tensor does not fit its shape.', {
      path: quote(name),
      expected: `${bytes(size)} for ${tensor.type} of shape ${showShape(tensor.shape)}`,
      received: written > size ? `more, ${bytes(written)} at least` : bytes(written),
      remedy: 'Pass the bytes of every element, once.',
    });
  }
  await file.write(new Uint8Array(padding));
}
