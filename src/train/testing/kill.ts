/** A trainer in a process of its own, killed without warning: called again, it should end as if nothing had happened. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Draws } from '../random.ts';
import { temporaryDirectory } from './index.ts';

/** What such a process writes, one JSON object a line. */
interface Event {
  type: string;
  step?: number;
  text?: string;
}

export interface Survival<T> {
  /** What was left by a run that nobody disturbed, and by one that was killed several times. */
  readonly whole: T;
  readonly broken: T;
  /** What the killed run noted each time, such as from where it went on. */
  readonly notes: readonly string[];
  /** Its last event. */
  readonly last: Event | undefined;
}

/**
 * @param script the program; it gets the run's directory.
 * @param outcome reads everything that a run leaves which no clock has touched.
 */
export async function killAtRandom<T>(script: string, outcome: (directory: string) => T): Promise<Survival<T>> {
  await using undisturbed = await temporaryDirectory();
  const begun = performance.now();
  await finish(script, undisturbed.path);
  const duration = performance.now() - begun;

  await using killed = await temporaryDirectory();
  const draws = new Draws(Date.now());
  const notes: string[] = [];
  // At moments drawn at random, each in a process that goes on from the one before; some come before the first checkpoint.
  for (let kill = 0; kill < 6; kill++) {
    const { child, ended, events } = start(script, killed.path);
    const timer = setTimeout(() => child.kill('SIGKILL'), duration * (0.3 + 0.5 * draws.uniform()));
    const code = await ended;
    clearTimeout(timer);
    notes.push(...events.flatMap(({ type, text = '' }) => (type === 'note' ? text : [])));
    if (code === 0) break;
  }
  const events = await finish(script, killed.path);
  return { whole: outcome(undisturbed.path), broken: outcome(killed.path), notes, last: events.at(-1) };
}

async function finish(script: string, directory: string): Promise<readonly Event[]> {
  const { ended, events } = start(script, directory);
  const code = await ended;
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return events;
}

function start(
  script: string,
  directory: string,
): { child: ChildProcess; ended: Promise<number | null>; events: Event[] } {
  const child = spawn(process.execPath, [script, directory], {
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const events: Event[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => events.push(JSON.parse(line)));
  return { child, events, ended: new Promise((resolve) => child.on('close', (code) => resolve(code))) };
}
