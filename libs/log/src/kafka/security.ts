/** How Kafka is reached, and as whom. */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { ConnectionOptions } from '@platformatic/kafka';
import { LogError } from '../port.ts';
import type { Health } from '../watched.ts';

/** Its part of a process's options. */
export interface KafkaSecurityConfig {
  readonly kafkaTls: boolean;
  readonly kafkaCaFile?: string | undefined;
  readonly kafkaCertFile?: string | undefined;
  readonly kafkaKeyFile?: string | undefined;
  readonly kafkaSaslMechanism: 'none' | 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
  readonly kafkaUsername?: string | undefined;
  readonly kafkaPassword?: string | undefined;
}

export interface KafkaSecurity {
  readonly tls?: NonNullable<ConnectionOptions['tls']>;
  readonly sasl?: NonNullable<ConnectionOptions['sasl']>;
}

/** Reads the files once: what is renewed is shown by a process that starts after it. */
export async function kafkaSecurity(config: KafkaSecurityConfig): Promise<KafkaSecurity> {
  const { kafkaTls, kafkaSaslMechanism: mechanism, kafkaUsername, kafkaPassword } = config;
  const [ca, cert, key] = await Promise.all(
    [config.kafkaCaFile, config.kafkaCertFile, config.kafkaKeyFile].map(read),
  );
  const own = cert === undefined || key === undefined ? {} : { cert, key };
  const tls = { ...(ca === undefined ? {} : { ca }), ...own };
  return {
    ...(kafkaTls ? { tls } : {}),
    ...(mechanism === 'none'
      ? {}
      : { sasl: { mechanism, username: kafkaUsername ?? '', password: kafkaPassword ?? '' } }),
  };
}

/** Says who it is that may not: brokers tell nobody but their own log. */
export function healthOf(health: Health, { kafkaUsername }: KafkaSecurityConfig): Health {
  const user = kafkaUsername === undefined ? 'this process' : `user ${kafkaUsername}`;
  return {
    failed: (error, sinceMs) => health.failed(named(error, user), sinceMs),
    worked: () => health.worked(),
  };
}

function named(error: unknown, user: string): unknown {
  if (!(error instanceof LogError && error.code === 'not-allowed')) return error;
  const { code, retriable, message } = error;
  return new LogError(code, `${user} may not: ${message}`, { retriable, cause: error });
}

async function read(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : await readFile(file, 'utf8');
}

/** For the client: brokers with names are asked for by them (SNI), and IPs never are (RFC 6066). */
export function tlsOf(
  tls: KafkaSecurity['tls'],
  host: string,
): Pick<ConnectionOptions, 'tls' | 'tlsServerName'> {
  return tls === undefined ? {} : { tls, ...(isIP(host) === 0 ? { tlsServerName: host } : {}) };
}
