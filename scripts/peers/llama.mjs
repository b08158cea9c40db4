// `node scripts/peers/llama.mjs`: fetches llama.cpp, ready made, for the tests in tests/peers, unless it is there: a client
// (npm's node-llama-cpp) and a server (PyPI's xllamacpp, which is llama-server as a Python module). About 150 MB in the cache.

import { createContext } from '../../src/setup/context.mjs';
import { SetupError } from '../../src/setup/failure.mjs';
import { endChildrenOnSignals } from '../../src/setup/run.mjs';
import { CLIENT, install, SERVER } from './packages.mjs';

endChildrenOnSignals();
const context = createContext();
// One that cannot be had is no reason to do without the other.
for (const peer of [CLIENT, SERVER]) {
  try {
    const { folder, changed } = await install(context, peer);
    if (changed) process.stderr.write(`${peer.name} is ready in ${folder}.\n`);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`\nSet-up failed. ${error.message}\n`);
    process.exitCode = error.exitCode;
  }
}
