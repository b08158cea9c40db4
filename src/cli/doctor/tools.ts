/** Versions of the programs that set-up uses. */

import { createContext } from '../../setup/context.mjs';
import { compilerName, probePython } from '../../setup/prerequisites.mjs';

export interface Tools {
  python: string | null;
  pip: string | null;
  compiler: string | null;
  make: string | null;
}

/** Asks each program; null where it is missing or does not run. */
export async function readTools(): Promise<Tools> {
  const context = createContext();
  const [command = '', ...args] = compilerName(context).split(/\s+/);
  const [python, compiler, make] = await Promise.all([
    probePython(context).catch(() => null),
    context.run(command, [...args, '--version']),
    context.run('make', ['--version']),
  ]);
  return {
    python: python === null ? null : `${python.version} (${python.executable})`,
    pip: python?.pip ?? null,
    compiler: firstLine(compiler),
    make: firstLine(make),
  };
}

function firstLine(result: { code: number; output: string }): string | null {
  return result.code === 0 ? (result.output.split('\n')[0] ?? null) : null;
}
