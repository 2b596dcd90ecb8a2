import { Command, CommanderError, Option } from 'commander';
import { nearest, editDistance } from './nearest.ts';
import {
  defaultOf,
  formatValue,
  parseValue,
  shownOf,
  splitList,
  withoutUser,
  type OptionValue,
  type Row,
} from './option-rows.ts';
import {
  OptionsError,
  spellingsOf,
  type ConfigOf,
  type OptionSource,
  type OptionTable,
} from './options.ts';

export interface Program<T extends OptionTable> {
  readonly name: string;
  /** What people type before its options, where that is not its name: `npm run cluster --`. */
  readonly typed?: string;
  readonly description: string;
  readonly version: string;
  readonly table: T;
  /** What no row can say alone: one line per problem, naming the flags or variables. */
  readonly check?: (config: ConfigOf<T>) => readonly string[];
}

export interface ProgramInput {
  /** Without the interpreter and the script. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export type ParsedProgram<T extends OptionTable> =
  | {
      readonly kind: 'run';
      readonly config: ConfigOf<T>;
      readonly sources: Readonly<Record<keyof T, OptionSource>>;
      /** For the log: variables that look like a misspelled one of ours. */
      readonly warnings: readonly string[];
    }
  /** `--help` or `--version`: print the text and leave. */
  | { readonly kind: 'print'; readonly text: string };

interface Given {
  readonly source: OptionSource;
  readonly text: string;
}

/**
 * Reads flags, then variables, then defaults.
 *
 * @throws OptionsError with every problem that was found.
 */
export function parseOptions<T extends OptionTable>(
  program: Program<T>,
  input: ProgramInput,
): ParsedProgram<T> {
  const flags = new Map<string, Given[]>();
  const printed = parseFlags(program, input.argv, flags);
  if (printed !== undefined) return { kind: 'print', text: printed };

  const problems: string[] = [];
  const config: Record<string, OptionValue | undefined> = {};
  const sources: Record<string, OptionSource> = {};
  for (const [name, row] of Object.entries<Row>(program.table)) {
    const given = flags.get(name) ?? fromEnvironment(row, input.environment);
    sources[name] = given.at(-1)?.source ?? { kind: 'default', spelling: undefined };
    config[name] = given.length === 0 ? defaultOf(row) : valueOf(row, given, problems);
  }
  if (problems.length > 0) throw new OptionsError(problems);
  // Where the table's types meet its values: each was parsed by its own row just above.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const result = { config, sources } as {
    config: ConfigOf<T>;
    sources: Record<keyof T, OptionSource>;
  };
  const wrong = program.check?.(result.config) ?? [];
  if (wrong.length > 0) throw new OptionsError(wrong);
  return { kind: 'run', ...result, warnings: misspelled(program.table, input.environment) };
}

function valueOf(row: Row, given: readonly Given[], problems: string[]): OptionValue | undefined {
  const items: string[] = [];
  let value: OptionValue | undefined;
  for (const { source, text } of given) {
    const parsed = parseValue(row, text);
    if (parsed.ok) {
      value = parsed.value;
      if (row.type === 'list') items.push(...splitList(text));
    } else {
      const shown = JSON.stringify(clip(shownOf(row, text)));
      problems.push(`${source.spelling}: ${shown}: ${parsed.reason}`);
    }
  }
  return row.type === 'list' ? items : value;
}

function clip(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}

function fromEnvironment(row: Row, environment: ProgramInput['environment']): readonly Given[] {
  for (const variable of row.env ?? []) {
    const text = environment[variable];
    // An empty variable is one that is not set: that is how a manifest or a shell takes one back.
    if (text !== undefined && text !== '') {
      return [{ text, source: { kind: 'environment', spelling: variable } }];
    }
  }
  return [];
}

/** Kubernetes sets variables of its own for each Service, so only near misses are told. */
function misspelled(table: OptionTable, environment: ProgramInput['environment']): string[] {
  const known = new Set(Object.values(table).flatMap((row) => row.env ?? []));
  const warnings: string[] = [];
  for (const variable of Object.keys(environment)) {
    if (known.has(variable) || !/^(?:PILOT|WATERSHED|OTEL)_/u.test(variable)) continue;
    const near = nearest(variable, known);
    if (near !== undefined && editDistance(variable, near) <= 2) {
      warnings.push(`the variable ${variable} is not known; did you mean ${near}?`);
    }
  }
  return warnings;
}

/** Collects flags by row name; returns what to print, if that is all that was asked for. */
function parseFlags<T extends OptionTable>(
  program: Program<T>,
  argv: readonly string[],
  flags: Map<string, Given[]>,
): string | undefined {
  let printed = '';
  const command = new Command(program.typed ?? program.name)
    .description(program.description)
    .version(program.version)
    .helpOption('-h, --help', 'show this and leave')
    .allowExcessArguments()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => undefined,
      getOutHelpWidth: () => 100,
      getOutHasColors: () => false,
    });
  for (const [name, row] of Object.entries<Row>(program.table)) {
    for (const spelling of spellingsOf(row)) {
      command.addOption(
        optionOf(row, spelling, (text) => {
          const source: OptionSource = { kind: 'flag', spelling };
          flags.set(name, [...(flags.get(name) ?? []), { source, text }]);
        }),
      );
    }
  }
  command.addHelpText('after', variablesHelp(program.table));
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return printed;
    // It quotes what a misspelled flag was given.
    const message = withoutUser(error.message.replace(/^error: /u, ''));
    throw new OptionsError([message.replaceAll('\n', ' ')]);
  }
  const [stray] = command.args;
  if (stray !== undefined) {
    throw new OptionsError([
      `${JSON.stringify(clip(withoutUser(stray)))}: not an option; options start with --`,
    ]);
  }
  return undefined;
}

function optionOf(row: Row, spelling: string, record: (text: string) => void): Option {
  const value = row.type === 'bool' ? '[bool]' : `<${placeholderOf(row)}>`;
  const option = new Option(`${spelling} ${value}`, helpOf(row)).argParser((text) => record(text));
  if (row.type === 'bool') option.preset('true');
  if (spelling !== row.flag) option.hideHelp();
  if (row.group !== undefined) option.helpGroup(`${row.group}:`);
  return option;
}

function placeholderOf(row: Row): string {
  switch (row.type) {
    case 'string':
      return row.placeholder ?? 'text';
    case 'list':
      return row.placeholder ?? 'list';
    case 'address':
      return 'host:port';
    case 'enum':
      return row.values.join('|');
    case 'int':
    case 'number':
    case 'bool':
    case 'duration':
      return row.type;
  }
}

function helpOf(row: Row): string {
  const value = defaultOf(row);
  const unit = 'unit' in row && row.unit !== undefined ? ` ${row.unit}` : '';
  const text = formatValue(row, value);
  const notes = [
    text === '' || row.secret === true ? '' : `default ${text}${unit}`,
    row.env === undefined || row.flag === undefined ? '' : `variable ${row.env.join(' or ')}`,
    row.aliases === undefined ? '' : `also ${row.aliases.join(', ')}`,
  ].filter((note) => note !== '');
  return notes.length === 0 ? row.doc : `${row.doc} (${notes.join('; ')})`;
}

function variablesHelp(table: OptionTable): string {
  const rows = Object.values(table).filter((row) => row.flag === undefined);
  if (rows.length === 0) return '';
  const lines = rows.map((row) => {
    const names = (row.env ?? []).join(', ');
    return `  ${names} (${placeholderOf(row)})\n${wrap(helpOf(row), 94).join('\n')}`;
  });
  return `\nEnvironment:\n${lines.join('\n')}`;
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((content) => `      ${content}`);
}
