import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const module = JSON.stringify(new URL('../src/log-output.ts', import.meta.url).href);
const script = `
import { logOutput } from ${module};
const write = logOutput();
write('one\\n');
setTimeout(() => process.exit(7), 50);`;

test('a process goes on when its log file cannot grow, as with a full disk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'watershed-log-'));
  try {
    for (const [limit, said] of [
      ['unlimited', 'one\n'],
      ['0', ''],
    ] as const) {
      const file = join(directory, limit);
      const log = openSync(file, 'a');
      const command = `ulimit -f ${limit}; exec "$0" --input-type=module -e "$1"`;
      const child = spawn('sh', ['-c', command, process.execPath, script], {
        stdio: ['ignore', 'ignore', log],
      });
      closeSync(log);
      expect(await once(child, 'exit')).toEqual([7, null]);
      expect(await readFile(file, 'utf8')).toBe(said);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
