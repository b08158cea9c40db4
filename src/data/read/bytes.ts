/** A file's bytes in pieces, decompressed where it is compressed, with what cannot be a dataset refused at once. */

import { type FileHandle, open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { NudgeError } from '../../errors.ts';

const PIECE_BYTES = 256 * 1024;

/**
 * The file's contents, piece by piece. gzip and Zstandard are known by their first bytes, whatever the name.
 *
 * @throws NudgeError IO_FAILED where it cannot be opened or read, BAD_FILE for a damaged archive, UTF-16, a web page or a
 * Git LFS pointer.
 */
export async function* readPieces(path: string): AsyncGenerator<Buffer> {
  const handle = await openFile(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const unpack = decompressor(buffer.subarray(0, bytesRead));
    const file = handle.createReadStream({ start: 0, highWaterMark: PIECE_BYTES, autoClose: false });
    const stream = unpack === null ? file : pipeline(file, unpack, () => {});
    let isFirst = true;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      if (isFirst) yield withoutMark(piece, path);
      else yield piece;
      isFirst = false;
    }
  } catch (error) {
    throw error instanceof NudgeError ? error : readFailed(path, error);
  } finally {
    await handle.close();
  }
}

/** @throws NudgeError IO_FAILED, and BAD_FILE for a folder. */
export async function openFile(path: string): Promise<FileHandle> {
  const handle = await open(path, 'r').catch((cause) => {
    throw ioFailed('open', path, cause);
  });
  if (!(await handle.stat()).isDirectory()) return handle;
  await handle.close();
  throw new NudgeError('BAD_FILE', 'This is a folder, not a file.', { path, remedy: 'Name the files in it.' });
}

function decompressor(head: Buffer) {
  if (head[0] === 0x1f && head[1] === 0x8b) return createGunzip({ chunkSize: PIECE_BYTES });
  if (head.length === 4 && head.readUInt32LE(0) === 0xfd2fb528) return createZstdDecompress({ chunkSize: PIECE_BYTES });
  return null;
}

/** The first piece without a byte order mark, if it can begin a dataset. */
function withoutMark(piece: Buffer, path: string): Buffer {
  if (piece[0] === 0xef && piece[1] === 0xbb && piece[2] === 0xbf) return piece.subarray(3);
  const isUtf16 = (piece[0] === 0xff && piece[1] === 0xfe) || (piece[0] === 0xfe && piece[1] === 0xff);
  if (isUtf16) {
    throw new NudgeError('BAD_FILE', 'This file is UTF-16.', {
      path,
      expected: 'UTF-8',
      remedy: `Convert it: iconv -f UTF-16 -t UTF-8 ${path}`,
    });
  }
  const head = piece.toString('latin1', 0, 200).trimStart().toLowerCase();
  if (head.startsWith('version https://git-lfs')) {
    throw new NudgeError('BAD_FILE', 'This is a pointer of Git LFS, not the data.', {
      path,
      remedy: 'Run: git lfs pull',
    });
  }
  if (head.startsWith('<!doctype') || head.startsWith('<html')) {
    throw new NudgeError('BAD_FILE', 'This is a web page, not a dataset.', {
      path,
      remedy: "Download the file itself, not the page that shows it (on Hugging Face: the link with 'resolve' in it).",
    });
  }
  return piece;
}

function readFailed(path: string, cause: unknown): NudgeError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (!/^(Z_|ZSTD_|ERR_ZSTD)/.test(code)) return ioFailed('read', path, cause);
  const isShort = code === 'Z_BUF_ERROR' || /unexpected end|src.*size.*wrong/i.test(String(cause));
  return new NudgeError('BAD_FILE', isShort ? 'This archive ends early.' : 'This archive is damaged.', {
    path,
    received: (cause as Error).message,
    remedy: 'Download or copy it again; nothing of it was used.',
    cause,
  });
}

export function ioFailed(action: string, path: string, cause: unknown): NudgeError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return new NudgeError('IO_FAILED', `Could not ${action} the file.`, {
    path,
    received: cause instanceof Error ? cause.message : String(cause),
    remedy: code === 'ENOENT' ? 'Check the path.' : 'Check the path, its permissions and the disk.',
    cause,
  });
}
