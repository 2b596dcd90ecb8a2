import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';

const components = join(import.meta.dirname, '..', 'src', 'components');

/** It owns a process and a directory, says which, and then does what it is told to. */
const owner = `
  import { writeFileSync } from 'node:fs';
  import { startChild } from '${components}/child.ts';
  import { leaveNothing, scratchDirectory } from '${components}/janitor.ts';
  const directory = await scratchDirectory('watershed janitor-');
  writeFileSync(directory + '/file', '');
  const start = (command, ...args) => startChild({ command, args, logFile: directory + '/log' });
  await start('true').exited;
  const { pid } = start('sleep', '60');
  console.log(JSON.stringify({ pid, directory }));
`;

async function ownerThat(does: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', owner + does], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [line] = await once(child.stdout, 'data');
  const { pid, directory }: { pid: number; directory: string } = JSON.parse(String(line));
  return { child, ended, pid, directory };
}

/** A zombie waits for whoever adopted it, and is none. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
  return !/\) Z/u.test(stat);
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

test('a process that is killed leaves neither processes nor temporary directories', async () => {
  const { child, pid, directory } = await ownerThat('setInterval(() => undefined, 1_000);');
  expect([await runs(pid), await isThere(directory)]).toEqual([true, true]);
  child.kill('SIGKILL');
  while ((await runs(pid)) || (await isThere(directory))) await sleep(20);
});

test('nor does one that ends by itself', async () => {
  const { ended, pid, directory } = await ownerThat('process.exit(3);');
  await ended;
  while ((await runs(pid)) || (await isThere(directory))) await sleep(20);
});

test('one that asks for it ends when nothing is left, and starts nothing any more', async () => {
  const { ended, pid, directory } = await ownerThat(`
    await leaveNothing();
    try { start('true'); } catch { process.exit(3); }
  `);
  expect(await ended).toEqual([3, null]);
  expect([await runs(pid), await isThere(directory)]).toEqual([false, false]);
});
