import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import type { Clock } from './clock.ts';
import { boundFields, boundText, type LogFields } from './log-fields.ts';
import { lineOf } from './log-line.ts';
import { OperatingError } from './errors.ts';
import { nearest } from './nearest.ts';

/** Istiod's levels; `none` is silence. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'none';

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'fatal', 'none'];

/**
 * What code logs to. A message is a constant sentence, what varies goes into fields: so lines can
 * be counted. Texts are cut and secrets are struck out (see `boundFields`).
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
  /** Whether a line would be written: for fields that cost something to make. */
  enabled(level: LogLevel): boolean;
  /** The same scope with fields on every line. */
  with(fields: LogFields): Logger;
}

export interface LoggingOptions {
  /** The names that levels can be set for, besides `default`. */
  readonly scopes: readonly string[];
  /** Istiod's `--log_output_level`: `info`, `default:info,ads:debug`, `all:warn`. */
  readonly levels: string;
  readonly json: boolean;
  readonly clock: Pick<Clock, 'now'>;
  /** Gets whole lines, each with its line feed. */
  readonly write: (line: string) => void;
}

/** All scopes of a process. */
export class Logging {
  readonly #options: LoggingOptions;
  readonly #root: PinoLogger;
  #levels: ReadonlyMap<string, LogLevel>;

  /** @throws OperatingError `invalid` for levels that cannot be read. */
  constructor(options: LoggingOptions) {
    this.#options = options;
    this.#levels = parseLevels(options.levels, options.scopes);
    this.#root = rootOf(options);
  }

  /** The logger of one of the scopes named in the options. */
  scope(name: string): Logger {
    if (!this.#options.scopes.includes(name)) throw new RangeError(`no log scope ${name}`);
    return new ScopedLogger(this.#root.child({ scope: name }), () => this.#levelOf(name));
  }

  /** Changes levels while running; the syntax is that of the option. */
  setLevels(text: string): void {
    this.#levels = new Map([...this.#levels, ...parseLevels(text, this.#options.scopes)]);
  }

  /** The level of each scope. */
  levels(): Readonly<Record<string, LogLevel>> {
    const all = this.#options.scopes.map((name) => [name, this.#levelOf(name)] as const);
    return Object.fromEntries(all);
  }

  #levelOf(name: string): LogLevel {
    return this.#levels.get(name) ?? this.#levels.get('default') ?? 'info';
  }
}

function rootOf(options: LoggingOptions): PinoLogger {
  const { json, write } = options;
  const stream: DestinationStream = { write: json ? write : (line) => write(lineOf(line)) };
  return pino(
    {
      // Levels are decided per scope before a line is made.
      level: 'debug',
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"time":"${new Date(options.clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}

class ScopedLogger implements Logger {
  readonly #pino: PinoLogger;
  readonly #level: () => LogLevel;

  constructor(logger: PinoLogger, level: () => LogLevel) {
    this.#pino = logger;
    this.#level = level;
  }

  enabled(level: LogLevel): boolean {
    return level !== 'none' && levels.indexOf(level) >= levels.indexOf(this.#level());
  }

  debug(message: string, fields?: LogFields): void {
    if (this.enabled('debug')) this.#pino.debug(boundFields(fields), boundText(message));
  }

  info(message: string, fields?: LogFields): void {
    if (this.enabled('info')) this.#pino.info(boundFields(fields), boundText(message));
  }

  warn(message: string, fields?: LogFields): void {
    if (this.enabled('warn')) this.#pino.warn(boundFields(fields), boundText(message));
  }

  error(message: string, fields?: LogFields): void {
    if (this.enabled('error')) this.#pino.error(boundFields(fields), boundText(message));
  }

  fatal(message: string, fields?: LogFields): void {
    if (this.enabled('fatal')) this.#pino.fatal(boundFields(fields), boundText(message));
  }

  with(fields: LogFields): Logger {
    return new ScopedLogger(this.#pino.child(boundFields(fields)), this.#level);
  }
}

/** Reads `--log_output_level`; a level alone is that of `default`, `all` is every scope. */
export function parseLevels(
  text: string,
  scopes: readonly string[],
): ReadonlyMap<string, LogLevel> {
  const found = new Map<string, LogLevel>();
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const [first = '', second, ...rest] = item.split(':');
    const scope = second === undefined ? 'default' : first;
    const level = levels.find((known) => known === (second ?? first));
    if (level === undefined || rest.length > 0) {
      throw levelsError(item, `expected SCOPE:LEVEL, with a level of ${levels.join(', ')}`);
    }
    if (scope === 'all') for (const name of ['default', ...scopes]) found.set(name, level);
    else if (scope === 'default' || scopes.includes(scope)) found.set(scope, level);
    else throw levelsError(item, unknownScope(scope, scopes));
  }
  return found;
}

function unknownScope(scope: string, scopes: readonly string[]): string {
  const near = nearest(scope, scopes);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  return `no scope ${scope} (there are default, ${scopes.join(', ')})${hint}`;
}

function levelsError(item: string, reason: string): OperatingError {
  return new OperatingError('invalid', `--log_output_level: ${JSON.stringify(item)}: ${reason}`);
}
