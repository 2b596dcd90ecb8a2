import { AclOperations, Connection, createAclsV3 } from '@platformatic/kafka';
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
  ingester: { read: ['config', 'endpoints'], write: ['config', 'endpoints', 'history'] },
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

  /** As a service opens it; fails where a service would end. */
  async function reach(config: Partial<SharedLogConfig>): Promise<Log> {
    const log = await openSharedLog(
      {
        kafkaBrokers: kafka.door('SECURE'),
        partitions: 2,
        kafkaTls: true,
        kafkaSaslMechanism: 'none',
        kafkaCompression: 'none',
        ...config,
      },
      {
        time: realTime,
        readiness: {
          awaits: () => ({
            failed: (error) => expect.unreachable(String(error)),
            worked: () => undefined,
          }),
        },
        onFatal: (error) => expect.unreachable(String(error)),
        logger: undefined,
      },
    );
    open.push(log);
    return log;
  }

  function asTier(tier: Tier, more: Partial<SharedLogConfig> = {}): Promise<Log> {
    return reach({
      kafkaCaFile: caFile,
      kafkaSaslMechanism: 'SCRAM-SHA-512',
      kafkaUsername: tier,
      kafkaPassword: secretOf(tier),
      ...more,
    });
  }

  test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)(
    'lets in who shows a password by %s',
    async (kafkaSaslMechanism) => {
      const log = await asTier('pusher', { kafkaSaslMechanism });
      expect((await log.end(topics.xds, 0)).offset).toBeGreaterThanOrEqual(0);
    },
  );

  test('a wrong password, and a broker whose certificate another has signed, are final or told at once', async () => {
    await expect(asTier('pusher', { kafkaPassword: 'wrong' })).rejects.toMatchObject({
      code: 'unavailable',
      retriable: false,
    });
    const kafkaCaFile = join(directory, 'other.crt');
    await expect(asTier('pusher', { kafkaCaFile })).rejects.toThrow(/certificate/u);
  });

  test.each(tiers)('%s writes its topics and no others, and is told so at once', async (tier) => {
    const log = await asTier(tier);
    for (const topic of names) {
      const record = { topic, partition: 0, key: tier, value: bytes('1') };
      if (isIn(rights[tier].write, topic)) {
        expect(await log.append([record])).toHaveLength(1);
        continue;
      }
      await expect(log.append([record])).rejects.toMatchObject({
        code: 'unavailable',
        retriable: false,
        message: expect.stringContaining(topic),
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

  test('translators share the partitions', async () => {
    let owned = 0;
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
    });
    group.join(({ size }) => {
      owned = size;
    });
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

async function grantAll({ brokers }: TestKafka): Promise<void> {
  const acl = (principal: string, kind: 2 | 3, name: string, operation: number): object => ({
    resourceType: kind,
    resourceName: name,
    resourcePatternType: 3,
    principal: `User:${principal}`,
    host: '*',
    operation,
    permissionType: 3,
  });
  const { READ, WRITE, DESCRIBE } = AclOperations;
  const acls = tiers.flatMap((tier) => [
    ...names.map((topic) => acl(tier, 2, topic, DESCRIBE)),
    ...rights[tier].read.map((topic) => acl(tier, 2, topic, READ)),
    ...rights[tier].write.map((topic) => acl(tier, 2, topic, WRITE)),
  ]);
  acls.push(acl('translator', 3, groupId, READ));
  const [host = '', port] = (brokers[0] ?? '').split(':');
  const connection = new Connection('set-up');
  await connection.connect(host, Number(port));
  await createAclsV3.api.async(connection, acls as Parameters<typeof createAclsV3.api.async>[1]);
  await connection.close();
}
