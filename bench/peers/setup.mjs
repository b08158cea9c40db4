// `node bench/peers/setup.mjs`: makes the Python environment that `nudge bench` compares with, unless it is there.

import { createContext } from '../../src/setup/context.mjs';
import { SetupError } from '../../src/setup/failure.mjs';
import { endChildrenOnSignals } from '../../src/setup/run.mjs';
import { makePeer } from './environment.mjs';

try {
  endChildrenOnSignals();
  const { folder, changed } = await makePeer(createContext());
  if (changed) process.stderr.write(`PyTorch for comparison is ready in ${folder}.\n`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nSet-up failed. ${error.message}\n`);
  process.exitCode = error.exitCode;
}
