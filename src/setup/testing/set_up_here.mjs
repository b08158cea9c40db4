// Runs the set-up of the world that the environment describes, in a process that a test can kill.

import { createContext } from '../context.mjs';
import { main } from '../main.mjs';

const root = process.cwd();
process.exitCode = await main([], createContext({ root, cwd: root, platform: 'linux', arch: 'x64', glibc: '2.36' }));
