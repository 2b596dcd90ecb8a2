import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

test.each([
  [
    ['validate', '--metaConfig', 'x'],
    "unknown option '--metaConfig'\n(Did you mean --meshConfig?)",
  ],
  [['confrim'], "unknown command 'confrim'\n(Did you mean confirm?)"],
])('a command line that is wrong is told of, with a hint and no more: %j', (args, reason) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
  });
  const hint = '`xdsctl --help` and `xdsctl COMMAND --help` say what can be asked';
  expect([status, stdout, stderr]).toEqual([1, '', `error: ${reason}\n${hint}\n`]);
});

test('the help of confirm names the page that has what is held', () => {
  const args = [main, 'confirm', '--help'];
  expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).toContain('/debug/heldz');
});

test('a pusher that hangs is waited for 3 s', () => {
  const args = [main, 'proxy-status', '--help'];
  expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).toMatch(
    /--timeout <seconds> .*\(default: 3\)/u,
  );
});
