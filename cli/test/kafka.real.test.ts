import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestKafka } from '../../test/components/kafka.ts';

let directory = '';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watershed-kafka-kept-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('data of before is not formatted anew', async () => {
  const first = await startTestKafka({ directory });
  await first.stop();
  // The tool would end with that.
  const formatArgs = ['--no-such-option'];
  const second = await startTestKafka({ directory, formatArgs });
  expect(second.brokers).toHaveLength(1);
  await second.stop();
});
