import { execFile } from 'node:child_process';

/**
 * Standard output of a command that ended within five minutes.
 *
 * @throws Error with the command and what it printed
 */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: 300_000, maxBuffer: 64 * 1024 * 1024, encoding: 'utf8' as const };
    execFile(command, args, { ...options, ...limits }, (error, stdout) => {
      if (error === null) return resolve(stdout);
      reject(new Error(`${error.message}\n${stdout}`.trim()));
    });
  });
}
