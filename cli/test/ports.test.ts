import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort, keptPorts } from '../src/components/ports.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ports-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

test('kept ports are those of before, but where somebody else listens', async () => {
  const file = join(directory, 'ports');
  const first = await keptPorts(file);
  const [redis, pusher] = [await first('redis'), await first('pusher-1 xDS')];
  expect(await first('redis')).toBe(redis);
  const server = createServer().listen(redis, '127.0.0.1');
  await once(server, 'listening');
  const second = await keptPorts(file);
  const other = await second('redis');
  expect([other === redis, await second('pusher-1 xDS')]).toEqual([false, pusher]);
  server.close();
  await once(server, 'close');
  expect(await (await keptPorts(file))('redis')).toBe(other);
  expect([redis, pusher, other]).not.toContain(await freePort());
});
