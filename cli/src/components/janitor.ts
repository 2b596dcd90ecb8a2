/**
 * What this process owns does not outlive it, however it ends: a shell waits for its input to be
 * closed, which the system does for a process that was killed as well, and then ends and removes
 * all that it was told of.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const script = `
  pids=
  while read -r what value; do
    case $what in
      runs) pids="$pids $value" ;;
      ended)
        left=
        for pid in $pids; do [ "$pid" = "$value" ] || left="$left $pid"; done
        pids=$left ;;
      scratch) set -- "$@" "$value" ;;
    esac
  done
  for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
  # Whoever is killed may still end a call that makes a file.
  rm -rf -- "$@" 2>/dev/null || { sleep 1; rm -rf -- "$@"; }
`;

let shell: ChildProcess | undefined;
const owned = new Set<ChildProcess>();
let isOver = false;

/** A process, which may have failed to start, is owned until it ends. */
export function own(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  tell(`runs ${pid}`);
  owned.add(child);
  child.once('exit', () => {
    owned.delete(child);
    tell(`ended ${pid}`);
  });
}

/** A new temporary directory, which goes when this process does, if not before. */
export async function scratchDirectory(prefix: string): Promise<string> {
  mustGoOn();
  const directory = await mkdtemp(join(tmpdir(), prefix));
  tell(`scratch ${directory}`);
  return directory;
}

/** At once: before this process ends. Nothing can be owned any more. */
export async function leaveNothing(): Promise<void> {
  isOver = true;
  if (shell === undefined || (shell.exitCode ?? shell.signalCode) !== null) return;
  shell.ref();
  const ended = once(shell, 'exit');
  shell.stdin?.end();
  await ended;
  // Who is killed may take a moment to die.
  await Promise.all(Array.from(owned, (child) => once(child, 'exit')));
}

/** @throws Error once nothing is left */
export function mustGoOn(): void {
  if (isOver) throw new Error('this process is about to end');
}

function tell(line: string): void {
  if (isOver) return;
  shell ??= openShell();
  shell.stdin?.write(`${line}\n`);
}

function openShell(): ChildProcess {
  // In a session of its own: a signal to the terminal's processes is none to it.
  const opened = spawn('sh', ['-c', script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  opened.unref();
  if (opened.stdin instanceof Socket) opened.stdin.unref();
  opened.once('error', () => undefined);
  opened.stdin.on('error', () => undefined);
  return opened;
}
