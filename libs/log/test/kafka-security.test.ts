import { AclOperations, Connection, createAclsV3, deleteAclsV3 } from '@platformatic/kafka';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { topics } from '@watershed/model/keys.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../test/components/certificates.ts';
import { startTestKafka, type TestKafka } from '../../../test/components/kafka.ts';
import { createKafkaGroup } from '../src/kafka/group.ts';
import { openSharedLog, type SharedLogConfig } from '../src/kafka/open.ts';
import type { Log } from '../src/port.ts';
import { brief, bytes, readAll, realTime, until } from './support.ts';

/** What the README says that each tier needs; all may describe all topics. */
const rights = {
  ingester: {
    read: ['config', 'endpoints', 'objects'],
    write: ['config', 'endpoints', 'objects', 'history'],
  },
  translator: { read: ['config', 'endpoints', 'xds', 'feedback'], write: ['xds'] },
  pusher: { read: ['xds', 'feedback'], write: ['feedback'] },
} as const;

type Tier = keyof typeof rights;

const tiers: readonly Tier[] = ['ingester', 'translator', 'pusher'];
const names = Object.values(topics);
const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
const groupId = 'watershed-translators';

describe('a Kafka that asks who comes, by TLS', () => {
  let kafka: TestKafka;
  let directory: string;
  let caFile: string;
  let setUp: Log;
  const open: Log[] = [];

  beforeAll(async () => {
    const authority = makeAuthority('test');
    const broker = authority.issue({ commonName: 'broker', names: ['127.0.0.1'] });
    directory = await mkdtemp(join(tmpdir(), 'watershed-kafka-tls-'));
    caFile = join(directory, 'ca.crt');
    await writeFile(caFile, authority.certificate);
    await writeFile(join(directory, 'other.crt'), makeAuthority('other').certificate);
    const pem = join(directory, 'broker.pem');
    await writeFile(pem, `${broker.key}${broker.certificate}`);
    kafka = await startTestKafka({
      config: { 'group.initial.rebalance.delay.ms': '0', ...secureListener(pem) },
      doors: { names: ['SECURE'], advertise: (_name, port) => Promise.resolve(port) },
      formatArgs: tiers.flatMap((tier) =>
        scram.flatMap((mechanism) => [
          '--add-scram',
          `${mechanism}=[name=${tier},password=${secretOf(tier)}]`,
        ]),
      ),
    });
    setUp = await reach({ kafkaBrokers: kafka.brokers, kafkaTls: false });
    await grantAll(kafka);
  });

  afterAll(async () => {
    await Promise.all(open.map((log) => log.close()));
    await kafka.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** As a service opens it; fails where a service would end. `failed`: is told why it is away. */
  async function reach(
    config: Partial<SharedLogConfig>,
    failed = (error: unknown): void => expect.unreachable(String(error)),
  ): Promise<Log> {
    const log = await openSharedLog(
      {
        kafkaBrokers: kafka.door('SECURE'),
        partitions: 2,
        kafkaTls: true,
        kafkaSaslMechanism: 'none',
        kafkaPrefix: '',
        kafkaCompression: 'none',
        ...config,
      },
      {
        time: realTime,
        readiness: {
          awaits: () => ({ failed, worked: () => undefined }),
        },
        onFatal: (error) => expect.unreachable(String(error)),
        logger: undefined,
      },
    );
    open.push(log);
    return log;
  }

  function asTier(
    tier: Tier,
    more: Partial<SharedLogConfig> = {},
    failed?: (error: unknown) => void,
  ): Promise<Log> {
    return reach(
      {
        kafkaCaFile: caFile,
        kafkaSaslMechanism: 'SCRAM-SHA-512',
        kafkaUsername: tier,
        kafkaPassword: secretOf(tier),
        ...more,
      },
      failed,
    );
  }

  test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)(
    'lets in who shows a password by %s',
    async (kafkaSaslMechanism) => {
      const log = await asTier('pusher', { kafkaSaslMechanism });
      expect((await log.end(topics.xds, 0)).offset).toBeGreaterThanOrEqual(0);
    },
  );

  test('a wrong password, and a broker whose certificate another has signed, are told at once', async () => {
    const told: string[] = [];
    const tell = (error: unknown): void => void told.push(String(error));
    const log = await asTier('pusher', { kafkaPassword: 'wrong' }, tell);
    expect(told[0]).toMatch(/user pusher may not: .*authentication failed/u);
    await log.close();
    const kafkaCaFile = join(directory, 'other.crt');
    await expect(asTier('pusher', { kafkaCaFile })).rejects.toThrow(/certificate/u);
  });

  test('what is granted late is had without a restart, and until then told: by whom, of what, which right', async () => {
    const { DESCRIBE, READ, WRITE } = AclOperations;
    const [topic, partition] = [topics.xds, 0];
    const described = names.map((name) => acl('pusher', 2, name, DESCRIBE));
    // Of the other rights, each implies that one.
    const others = rights.pusher.read.map((name) => acl('pusher', 2, name, READ));
    const all = [...described, ...others, acl('pusher', 2, topics.feedback, WRITE)];
    const told: string[] = [];
    const tell = (error: unknown): void => void told.push(String(error));
    await revoke(kafka, all);
    const log = await asTier('pusher', {}, tell);
    const needs =
      'user pusher may not: kafka: cannot find topic config (TOPIC_AUTHORIZATION_FAILED)';
    expect(told[0]).toContain(`${needs}: an ACL must allow DESCRIBE`);
    const stop = new AbortController();
    const read: string[] = [];
    const reading = (async () => {
      for await (const batch of log.read(topic, partition, undefined, stop.signal)) {
        read.push(...brief(batch.records));
      }
    })();
    await grant(kafka, all);
    const say = async (value: string): Promise<void> => {
      await setUp.append([{ topic, partition, key: 'late', value: bytes(value) }]);
    };
    await say('1');
    await until('it reads', () => read.includes('late=1'), 20_000);
    await revoke(kafka, [acl('pusher', 2, topic, READ)]);
    await until('that is told', () => /xds\/0.* allow READ/u.test(told.at(-1) ?? ''), 20_000);
    await say('2');
    await grant(kafka, [acl('pusher', 2, topic, READ)]);
    await until('it reads on', () => read.includes('late=2'), 20_000);
    stop.abort();
    await reading;
  });

  test.each(tiers)('%s writes its topics and no others, and is told so at once', async (tier) => {
    const log = await asTier(tier, {}, () => undefined);
    for (const topic of names) {
      const record = { topic, partition: 0, key: tier, value: bytes('1') };
      if (isIn(rights[tier].write, topic)) {
        expect(await log.append([record])).toHaveLength(1);
        continue;
      }
      await expect(log.append([record])).rejects.toMatchObject({
        code: 'not-allowed',
        message: expect.stringMatching(new RegExp(`${topic}.*WRITE`, 'u')),
      });
    }
  });

  test.each(tiers)(
    '%s reads its topics, though it may not ask how they are configured',
    async (tier) => {
      const log = await asTier(tier);
      for (const topic of rights[tier].read) {
        await setUp.append([{ topic, partition: 0, key: 'for all', value: bytes(tier) }]);
        expect(brief((await readAll(log, topic)).records)).toContain(`for all=${tier}`);
      }
    },
  );

  test('two that share a Kafka do not meet, each with its prefix', async () => {
    const shared = { kafkaBrokers: kafka.brokers, kafkaTls: false };
    const topic = topics.objects;
    for (const kafkaPrefix of ['one.', 'other.']) {
      const log = await reach({ ...shared, kafkaPrefix });
      await log.append([{ topic, partition: 0, key: 'k', value: bytes(kafkaPrefix) }]);
      expect(brief((await readAll(log, topic)).records)).toEqual([`k=${kafkaPrefix}`]);
    }
    const { records } = await readAll(setUp, `one.${topic}`);
    expect(brief(records)).toEqual(['k=one.']);
  });

  test('translators share the partitions, as soon as they may', async () => {
    let owned = 0;
    const told: string[] = [];
    const health = {
      failed: (error: unknown) => void told.push(String(error)),
      worked: () => undefined,
    };
    const right = acl('translator', 3, groupId, AclOperations.READ);
    await revoke(kafka, [right]);
    const group = createKafkaGroup({
      brokers: kafka.door('SECURE'),
      groupId,
      topic: topics.endpoints,
      time: realTime,
      tls: { ca: await readCa(caFile) },
      sasl: {
        mechanism: 'SCRAM-SHA-512',
        username: 'translator',
        password: secretOf('translator'),
      },
      health,
    });
    group.join(({ size }) => {
      owned = size;
    });
    await until('it is told', () => /translators.* allow READ/u.test(told[0] ?? ''), 20_000);
    await grant(kafka, [right]);
    await until('it has both partitions', () => owned === 2, 20_000);
    await group.leave();
  });

  test.each(['gzip', 'zstd'] as const)('what was appended in %s is read by all', async (how) => {
    const log = await asTier('translator', { kafkaCompression: how });
    const value = 'the same again, '.repeat(500);
    const records = Array.from({ length: 20 }, (_, at) => {
      return { topic: topics.xds, partition: 1, key: `${how}-${at}`, value: bytes(value) };
    });
    await log.append(records);
    const read = await readAll(await asTier('pusher'), topics.xds, 1);
    expect(brief(read.records).filter((text) => text.startsWith(how))).toEqual(
      records.map(({ key }) => `${key}=${value}`),
    );
  });
});

/** Who comes by the other listener may do all, and who comes by this one what ACLs say. */
function secureListener(pem: string): Readonly<Record<string, string>> {
  const listener = 'listener.name.secure';
  const modules = 'org.apache.kafka.common.security';
  const users = tiers.map((tier) => `user_${tier}="${secretOf(tier)}"`).join(' ');
  const scramModules = scram.map((mechanism) => [
    `${listener}.${mechanism.toLowerCase()}.sasl.jaas.config`,
    `${modules}.scram.ScramLoginModule required;`,
  ]);
  return {
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
    'sasl.enabled.mechanisms': ['PLAIN', ...scram].join(','),
    [`${listener}.plain.sasl.jaas.config`]: `${modules}.plain.PlainLoginModule required ${users};`,
    ...Object.fromEntries(scramModules),
    [`${listener}.ssl.keystore.type`]: 'PEM',
    [`${listener}.ssl.keystore.location`]: pem,
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
  };
}

function secretOf(tier: Tier): string {
  return `${tier}-password`;
}

function isIn(some: readonly string[], one: string): boolean {
  return some.includes(one);
}

async function readCa(file: string): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return await readFile(file, 'utf8');
}

type Acl = Parameters<typeof createAclsV3.api.async>[1][number];

/** `kind`: 2 for a topic, 3 for a group. */
function acl(principal: string, kind: 2 | 3, name: string, operation: number): Acl {
  return {
    resourceType: kind,
    resourceName: name,
    resourcePatternType: 3,
    principal: `User:${principal}`,
    host: '*',
    operation,
    permissionType: 3,
  } as Acl;
}

function grantAll(kafka: TestKafka): Promise<void> {
  const { READ, WRITE, DESCRIBE } = AclOperations;
  const acls = tiers.flatMap((tier) => [
    ...names.map((topic) => acl(tier, 2, topic, DESCRIBE)),
    ...rights[tier].read.map((topic) => acl(tier, 2, topic, READ)),
    ...rights[tier].write.map((topic) => acl(tier, 2, topic, WRITE)),
  ]);
  return grant(kafka, [...acls, acl('translator', 3, groupId, READ)]);
}

function grant(kafka: TestKafka, acls: readonly Acl[]): Promise<void> {
  return withConnection(kafka, (connection) => createAclsV3.api.async(connection, [...acls]));
}

function revoke(kafka: TestKafka, acls: readonly Acl[]): Promise<void> {
  return withConnection(kafka, (connection) => deleteAclsV3.api.async(connection, [...acls]));
}

async function withConnection(
  { brokers }: TestKafka,
  call: (connection: Connection) => Promise<unknown>,
): Promise<void> {
  const [host = '', port] = (brokers[0] ?? '').split(':');
  const connection = new Connection('set-up');
  await connection.connect(host, Number(port));
  await call(connection);
  await connection.close();
}
