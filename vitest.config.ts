import { defineConfig } from 'vitest/config';

// Each test file gets a process of its own: a crash in native code then names the file it came from.
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'tests/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // One thread a test process: two with two threads each on two cores spin against each other (57 s in place of 0.3 s).
    env: { OMP_NUM_THREADS: '1' },
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
