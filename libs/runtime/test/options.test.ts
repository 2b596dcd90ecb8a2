import { describe, expect, expectTypeOf, test } from 'vitest';
import type { Address } from '../src/address.ts';
import {
  checkXds,
  dataOptions,
  processOptions,
  sourceOptions,
  xdsOptions,
} from '../src/options-common.ts';
import { checkRedis, redisOptions } from '../src/options-blobs.ts';
import { checkKafka } from '../src/options-log.ts';
import { parseOptions, type Program, type ProgramInput } from '../src/options-parse.ts';
import {
  defineOptions,
  describeOptions,
  OptionsError,
  type ConfigOf,
  type OptionTable,
} from '../src/options.ts';

const table = defineOptions({
  grpc: { type: 'address', flag: '--grpcAddr', env: ['GRPC_ADDR'], default: ':15010', doc: 'a' },
  after: {
    type: 'duration',
    flag: '--after',
    env: ['PILOT_DEBOUNCE_AFTER'],
    default: '100ms',
    min: '1ms',
    max: '1m',
    doc: 'Quiet time.',
  },
  directory: { type: 'string', flag: '--configDir', aliases: ['--config-dir', '-c'], doc: 'b' },
  size: {
    type: 'int',
    env: ['SIZE', 'OLD_SIZE'],
    default: 5,
    min: 1,
    max: 10,
    unit: 'MB',
    doc: 'c',
  },
  share: { type: 'number', flag: '--share', default: 0.5, min: 0, max: 1, doc: 'A share.' },
  fast: { type: 'bool', flag: '--fast', default: false, doc: 'd' },
  mode: { type: 'enum', flag: '--mode', values: ['sotw', 'delta'], default: 'delta', doc: 'e' },
  hosts: { type: 'list', flag: '--host', env: ['HOSTS'], doc: 'f' },
  token: {
    type: 'string',
    flag: '--token',
    env: ['TOKEN'],
    secret: true,
    doc: 'g',
    pattern: /^t/u,
  },
});

function parse(argv: readonly string[], environment: ProgramInput['environment'] = {}) {
  const program: Program<typeof table> = {
    name: 'p',
    description: 'A program.',
    version: '1.2.3',
    table,
  };
  return parseOptions(program, { argv, environment });
}

function configOf(argv: readonly string[], environment: ProgramInput['environment'] = {}) {
  const parsed = parse(argv, environment);
  if (parsed.kind !== 'run') throw new Error('expected a configuration');
  return parsed.config;
}

function problemsOf(argv: readonly string[], environment: ProgramInput['environment'] = {}) {
  try {
    parse(argv, environment);
  } catch (error) {
    if (error instanceof OptionsError) return error.problems;
    throw error;
  }
  throw new Error('expected problems');
}

test('a table gives its defaults, typed by row', () => {
  const config = configOf([]);
  expect(config).toEqual({
    grpc: { host: '', port: 15010 },
    after: 100,
    directory: undefined,
    size: 5,
    share: 0.5,
    fast: false,
    mode: 'delta',
    hosts: [],
    token: undefined,
  });
  type Config = ConfigOf<typeof table>;
  expectTypeOf<Config['grpc']>().toEqualTypeOf<Address>();
  expectTypeOf<Config['after']>().toEqualTypeOf<number>();
  expectTypeOf<Config['directory']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<Config['mode']>().toEqualTypeOf<'sotw' | 'delta'>();
  expectTypeOf<Config['hosts']>().toEqualTypeOf<readonly string[]>();
});

test('a flag wins over a variable, a variable over the default, and an empty variable is not set', () => {
  expect(configOf(['--after', '5ms'], { PILOT_DEBOUNCE_AFTER: '7ms' }).after).toBe(5);
  expect(configOf([], { PILOT_DEBOUNCE_AFTER: '7ms' }).after).toBe(7);
  expect(configOf([], { PILOT_DEBOUNCE_AFTER: '' }).after).toBe(100);
  expect(configOf([], { OLD_SIZE: '3' }).size).toBe(3);
  expect(configOf([], { SIZE: '4', OLD_SIZE: '3' }).size).toBe(4);
});

test.each([
  [['--configDir', '/etc/a'], { directory: '/etc/a' }],
  [['--config-dir=/etc/a'], { directory: '/etc/a' }],
  [['-c', '/etc/a'], { directory: '/etc/a' }],
  [['--grpcAddr=127.0.0.1:0'], { grpc: { host: '127.0.0.1', port: 0 } }],
  [['--grpcAddr', '[::1]:80'], { grpc: { host: '::1', port: 80 } }],
  [['--fast'], { fast: true }],
  [['--fast=false'], { fast: false }],
  [['--fast', '--share', '0.25'], { fast: true, share: 0.25 }],
  [['--host', 'a,b', '--host=c'], { hosts: ['a', 'b', 'c'] }],
  [['--mode', 'sotw', '--mode', 'delta'], { mode: 'delta' }],
])('%j is understood', (argv, expected) => {
  expect(configOf(argv)).toMatchObject(expected);
});

test.each([
  [
    ['--grpcAddr', 'nowhere'],
    {},
    ['--grpcAddr: "nowhere": not an address; expected HOST:PORT, [IPV6]:PORT or :PORT'],
  ],
  [['--grpcAddr', ':70000'], {}, [/^--grpcAddr: ":70000": not an address/u]],
  [[], { PILOT_DEBOUNCE_AFTER: '5' }, [/^PILOT_DEBOUNCE_AFTER: "5": not a duration; .*100ms/u]],
  [['--after', '2m'], {}, ['--after: "2m": must be at most 1m']],
  [['--after', '-5ms'], {}, ['--after: "-5ms": must be at least 1ms']],
  [[], { SIZE: '1e3' }, ['SIZE: "1e3": not a whole number']],
  [[], { SIZE: '11' }, ['SIZE: "11": must be at most 10 MB']],
  [['--mode', 'detla'], {}, ['--mode: "detla": not one of sotw, delta; did you mean delta?']],
  [['--fast=maybe'], {}, ['--fast: "maybe": not true or false']],
  [['--share', ''], {}, ['--share: "": not a number']],
  [['--token', ''], {}, [/^--token: .*must not be empty$/u]],
  [['--grpcAdr', ':1'], {}, ["unknown option '--grpcAdr' (Did you mean --grpcAddr?)"]],
  [['--grpcAddr'], {}, [/option '--grpcAddr <host:port>' argument missing/u]],
  [['serve'], {}, ['"serve": not an option; options start with --']],
  [['--after', 'x', '--mode', 'y'], { SIZE: 'z' }, [/^--after/u, /^SIZE/u, /^--mode/u]],
])('%j with %j is refused, naming what, which value and why', (argv, environment, expected) => {
  const problems = problemsOf(argv, environment);
  expect(problems).toHaveLength(expected.length);
  for (const [index, text] of expected.entries()) expect(problems[index]).toMatch(text);
});

test('a secret is shown neither in an error nor in a description', () => {
  expect(problemsOf(['--token', 'hunter2']).join()).not.toContain('hunter2');
  const parsed = parse(['--token', 't-hunter2', '--fast'], { SIZE: '7' });
  if (parsed.kind !== 'run') throw new Error('expected a configuration');
  const described = describeOptions(table, parsed.config, parsed.sources);
  expect(JSON.stringify(described)).not.toContain('hunter2');
  expect(described.find((row) => row.name === 'token')).toMatchObject({ value: '[redacted]' });
  expect(described.find((row) => row.name === 'size')).toMatchObject({
    value: '7',
    source: { kind: 'environment', spelling: 'SIZE' },
  });
  expect(described.find((row) => row.name === 'after')).toMatchObject({
    value: '100ms',
    source: { kind: 'default' },
  });
});

test('--help lists each flag with its default and variable, and the variables that have no flag', () => {
  const parsed = parse(['--help']);
  if (parsed.kind !== 'print') throw new Error('expected a text');
  expect(parsed.text).toContain('--after <duration>');
  expect(parsed.text).toMatch(/Quiet time\. \(default 100ms; variable\s+PILOT_DEBOUNCE_AFTER\)/u);
  expect(parsed.text).toMatch(/also --config-dir, -c/u);
  expect(parsed.text).toMatch(/Environment:\n {2}SIZE, OLD_SIZE \(int\)\n {6}c \(default 5 MB\)/u);
  for (const line of parsed.text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
});

test('--version prints the version', () => {
  expect(parse(['--version'])).toEqual({ kind: 'print', text: '1.2.3\n' });
});

test('a misspelled variable of ours is told, a foreign one is not', () => {
  const parsed = parse([], { PILOT_DEBOUNCE_AFTR: '1s', PILOT_SERVICE_HOST: '10.0.0.1' });
  if (parsed.kind !== 'run') throw new Error('expected a configuration');
  expect(parsed.warnings).toEqual([
    'the variable PILOT_DEBOUNCE_AFTR is not known; did you mean PILOT_DEBOUNCE_AFTER?',
  ]);
});

test('a table with a flag twice, a wrong default or no way to set a row is refused when it is made', () => {
  const make = (wrong: OptionTable) => () => defineOptions(wrong);
  const row = { type: 'string', flag: '--a', doc: '' } as const;
  expect(make({ a: row, b: row })).toThrow('--a is of a and of b');
  expect(make({ a: { type: 'int', flag: '--a', default: 11, max: 10, doc: '' } })).toThrow(
    'option a',
  );
  expect(make({ a: { type: 'string', doc: '' } })).toThrow('option a has neither');
});

test("the shared rows start with istiod's spellings and a plaintext port on loopback only", () => {
  const all = defineOptions({ ...processOptions, ...sourceOptions, ...dataOptions, ...xdsOptions });
  const program: Program<typeof all> = {
    name: 'watershed',
    description: '',
    version: '1',
    table: all,
    check: checkXds,
  };
  const parsed = parseOptions(program, { argv: [], environment: {} });
  if (parsed.kind !== 'run') throw new Error('expected a configuration');
  expect(parsed.config).toMatchObject({
    grpcAddr: { host: '127.0.0.1', port: 15010 },
    monitoringAddr: { host: '127.0.0.1', port: 15014 },
    debounceAfterMs: 100,
    debounceMaxMs: 10_000,
    edsDebounce: false,
    resourceTtls: [],
    cacheEntries: 60_000,
    clusterId: 'Kubernetes',
    domain: 'cluster.local',
  });
  const environment = { PILOT_DEBOUNCE_AFTER: '20s' };
  expect(() => parseOptions(program, { argv: [], environment })).toThrow(/PILOT_DEBOUNCE_MAX/u);
});

test.each([
  [0, []],
  [1_048_576, []],
  [16_384, ['WATERSHED_XDS_MAX_IDENTITY_BYTES: must be 0 or at least 1048576 bytes, but is 16384']],
])(
  'a budget of %i bytes for an identity has no room for its streams: %j',
  (maxIdentityBytes, problems) => {
    expect(checkXds({ debounceAfterMs: 1, debounceMaxMs: 2, maxIdentityBytes })).toEqual(problems);
  },
);

describe('how Kafka is reached', () => {
  const plain = {
    kafkaTls: false,
    kafkaSaslMechanism: 'none',
    kafkaPrefix: '',
    kafkaCompression: 'none',
  } as const;
  const user = { kafkaUsername: 'pusher', kafkaPassword: 'secret' };
  const unset = { kafkaUsername: undefined, kafkaPassword: undefined };
  const files = { kafkaCaFile: undefined, kafkaCertFile: undefined, kafkaKeyFile: undefined };

  test.each([
    [{}, []],
    [{ ...user, kafkaSaslMechanism: 'SCRAM-SHA-512' as const }, []],
    [{ kafkaCaFile: 'ca.crt' }, ['--kafkaTls']],
    [{ kafkaTls: true, kafkaCertFile: 'a.crt' }, ['--kafkaCertFile, --kafkaKeyFile']],
    [user, ['--kafkaSaslMechanism']],
    [
      { kafkaSaslMechanism: 'SCRAM-SHA-256' as const },
      ['--kafkaUsername, WATERSHED_KAFKA_PASSWORD'],
    ],
    [{ ...user, kafkaSaslMechanism: 'PLAIN' as const }, ['--kafkaSaslMechanism']],
  ])('%j is refused for %j', (given, named) => {
    const problems = checkKafka({ ...plain, ...unset, ...files, ...given });
    expect(problems.map((problem) => problem.slice(0, problem.indexOf(':')))).toEqual(named);
  });
});

describe('how Redis is reached', () => {
  const form =
    'not redis://[user[:password]@]host[:port][/database], with all but letters and digits of user and password percent-encoded';
  const twice = '--redisUrl, WATERSHED_REDIS_PASSWORD: a password in both; it may be in one only';

  test.each([
    ['redis://redis:6379', 'hunter2', []],
    ['rediss://user@[::1]/3', 'hunter2', []],
    ['redis://user:@redis', 'hunter2', []],
    ['redis://:hunter%322%2F%40@redis:6379/0', undefined, []],
    ['redis://user:hunter2@redis', undefined, []],
    ['redis://user:hunter2@redis', 'hunter2', [twice]],
    ['redis://', undefined, [`--redisUrl: "redis://": ${form}`]],
    ['redis://redis:99999', undefined, [`--redisUrl: "redis://redis:99999": ${form}`]],
    ['redis://redis/db', undefined, [`--redisUrl: "redis://redis/db": ${form}`]],
    ['redis://redis?db=1', undefined, [`--redisUrl: "redis://redis?db=1": ${form}`]],
    ['redis://u:hunt/er2@redis', undefined, [`--redisUrl: "redis://[redacted]@redis": ${form}`]],
    ['redis://u:hunter2//%@redis', undefined, [`--redisUrl: "redis://[redacted]@redis": ${form}`]],
  ])('%j with the password %j: %j', (redisUrl, redisPassword, expected) => {
    expect(checkRedis({ redisUrl, redisPassword })).toEqual(expected);
  });

  test("a password in the URL is in no option's description and in no problem", () => {
    const program = { name: 'p', description: '', version: '1', table: redisOptions };
    const parsed = parseOptions(program, {
      argv: ['--redisUrl', 'redis://u:hunter2@redis:1/2'],
      environment: {},
    });
    if (parsed.kind !== 'run') throw new Error('expected a configuration');
    expect(parsed.config.redisUrl).toBe('redis://u:hunter2@redis:1/2');
    const [url, password] = describeOptions(redisOptions, parsed.config, parsed.sources);
    expect(url?.value).toBe('redis://[redacted]@redis:1/2');
    expect(password?.value).toBe('');
    const wrong = { WATERSHED_REDIS_URL: 'redis:/u:hunter2@redis' };
    expect(() => parseOptions(program, { argv: [], environment: wrong })).toThrow(
      'WATERSHED_REDIS_URL: "[redacted]@redis": not redis://[user[:password]@]host[:port][/database]',
    );
    for (const argv of [['--redisUlr=redis://u:hunter2@redis'], ['redis://u:hunter2@redis']]) {
      expect(() => parseOptions(program, { argv, environment: {} })).toThrow(
        'redis://[redacted]@redis',
      );
    }
  });
});
