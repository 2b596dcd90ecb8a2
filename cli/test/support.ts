import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { onTestFinished } from 'vitest';
import { program } from '../src/program.ts';

/** Runs `xdsctl` in this process: what it printed, to whom waits as well, and what it failed with. */
export async function xdsctl(...args: readonly string[]): Promise<{
  readonly lines: readonly string[];
  readonly notes: readonly string[];
  readonly failure: string;
}> {
  const lines: string[] = [];
  const notes: string[] = [];
  const print = (text: string): void => void lines.push(...text.split('\n'));
  const run = program({
    print,
    progress: (line) => notes.push(line),
    cache: '',
    environment: {},
  }).parseAsync(args, {
    from: 'user',
  });
  const failure = await run.then(
    () => '',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  return { lines, notes, failure };
}

/** Where something listens that answers so, as long as the test lasts. */
export async function listening(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}
