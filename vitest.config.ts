import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Needs a process that the suite fetches first: Envoy, a Kafka broker, Redis. */
const real = [
  '**/*.real.test.ts',
  '**/*kafka*.test.ts',
  'test/components/**/*.test.ts',
  'test/e2e/**/*.test.ts',
];
/** Needs a Kubernetes API server or Jaeger, which take longer to build than all else together. */
const slow = ['test/kube/**/*.test.ts', '**/*.slow.test.ts'];
const never = ['**/node_modules/**', '**/.cache/**'];

export default defineConfig({
  test: {
    // The suite is meant for two cores: more workers only make each other's timers late.
    maxWorkers: 2,
    // For the processes that tests start: half of what a start costs is types that are stripped.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('.cache/node', import.meta.url)) },
    passWithNoTests: true,
    // A seed in the output of a failed property is enough to repeat it; a retry would only hide it.
    retry: 0,
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['**/test/**/*.test.ts'],
          exclude: [...never, ...real, ...slow],
          pool: 'forks',
          // Nothing here is a singleton, so files may share a process: codecs are loaded once.
          isolate: false,
          // For what hangs: whoever waits has a limit of its own, and a busy machine computes late.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'real',
          include: real,
          exclude: [...never, ...slow],
          pool: 'forks',
          // Each file starts processes of its own: one after the other, time-outs stay honest.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'slow',
          include: slow,
          exclude: never,
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 3_600_000,
        },
      },
    ],
  },
});
