import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { expect, test } from 'vitest';
import { program } from '../src/config.ts';

test('a group whose name the client of Kafka would not take is refused as an option', () => {
  const argv = ['--kafkaBrokers', 'kafka:9092', '--redisUrl', 'redis://redis:6379'];
  const parse = (groupId: string) =>
    parseOptions(program, { argv: [...argv, '--groupId', groupId], environment: {} });
  expect(parse('blue|translators')).toMatchObject({ config: { groupId: 'blue|translators' } });
  expect(() => parse('blue translators')).toThrow('--groupId: "blue translators"');
  expect(() => parse('')).toThrow('--groupId: "": must not be empty');
});
