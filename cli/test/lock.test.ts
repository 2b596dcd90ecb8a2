import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lockDirectory } from '../src/cluster/lock.ts';

test('a directory is of one process, which is named, until it ends', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lock-'));
  const module = join(import.meta.dirname, '../src/cluster/lock.ts');
  const script = `const { lockDirectory } = await import(${JSON.stringify(module)});
    globalThis.lock = lockDirectory(${JSON.stringify(directory)});
    console.log('locked');
    setInterval(() => undefined, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  try {
    await once(child.stdout, 'data');
    expect(() => lockDirectory(directory)).toThrow(`it is in use by pid ${child.pid}`);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const lock = lockDirectory(directory);
  expect(() => lockDirectory(directory)).toThrow(`it is in use by pid ${process.pid}`);
  lock[Symbol.dispose]();
  lockDirectory(directory)[Symbol.dispose]();
  await rm(directory, { recursive: true });
});
