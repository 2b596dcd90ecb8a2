/** What people run from a checkout: options as services have them, and one line for what is wrong. */
import { OptionsError, type ConfigOf, type OptionTable } from './options.ts';
import { parseOptions, type Program, type ProgramInput } from './options-parse.ts';

const parentPollMs = 500;

/**
 * Runs a command to its end; what `run` returns becomes the exit status.
 * What it throws is not for people, and comes with its stack, unless it is an option that is wrong.
 */
export async function runCommand<T extends OptionTable>(
  program: Program<T>,
  input: ProgramInput,
  run: (config: ConfigOf<T>) => Promise<number>,
): Promise<void> {
  try {
    const parsed = parseOptions(program, input);
    if (parsed.kind === 'print') process.stdout.write(parsed.text);
    else {
      if (input.environment['npm_lifecycle_event'] !== undefined) endWithParent();
      process.exitCode = await run(parsed.config);
    }
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    const { name, typed = name } = program;
    complain(name, [...error.problems, `\`${typed} --help\` lists the options`]);
    process.exitCode = 1;
  }
}

/** For the person at the shell. */
export function complain(name: string, problems: readonly string[]): void {
  process.stderr.write(`${problems.map((problem) => `${name}: ${problem}`).join('\n')}\n`);
}

/** Npm hands on the signals that it can; where it was killed, nobody tells the command. */
function endWithParent(): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, parentPollMs);
  timer.unref();
}
