import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { backup } from 'node:sqlite';
import { NudgeError } from '../../errors.ts';
import type { NodeSqlite } from './sqlite.ts';

/** Copies beside the target first and renames then: a backup is whole or not there. */
export async function backUp(file: NodeSqlite, path: string): Promise<void> {
  if (existsSync(path)) {
    throw new NudgeError('FILE_EXISTS', 'There is a file of this name already.', {
      path,
      remedy: 'Choose another name for the backup, or remove the file.',
    });
  }
  const temporary = `${path}.${process.pid}.partial`;
  try {
    await backup(file.raw, temporary);
    const handle = await open(temporary, 'r+');
    await handle.sync().finally(() => handle.close());
    await rename(temporary, path);
    const folder = await open(dirname(path));
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    await rm(temporary, { force: true });
    throw new NudgeError('IO_FAILED', 'The backup could not be written.', {
      path,
      received: error instanceof Error ? error.message : String(error),
      remedy: 'Check the path, its permissions, and the space on the disk.',
      cause: error,
    });
  }
}
