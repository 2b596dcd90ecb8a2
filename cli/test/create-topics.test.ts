import { expect, test } from 'vitest';
import { xdsctl } from './support.ts';

test('create-topics gives up when Kafka was waited for long enough, and says why', async () => {
  const nobody = ['--kafkaBrokers', '127.0.0.1:1'];
  const { failure, notes } = await xdsctl('create-topics', ...nobody, '--timeout', '100ms');
  expect(failure).toMatch(/^no topics after 0\.1 s: .*ECONNREFUSED/u);
  expect(notes[0]).toContain('waiting for the log: ');
});

test('create-topics --help names no variable where there is none', async () => {
  const { lines } = await xdsctl('create-topics', '--help');
  expect(lines.join('\n')).toContain('0: as long as it takes. (default 0s)');
});
