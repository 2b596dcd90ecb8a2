import { defineOptions, type ConfigOf } from './options.ts';

/** The heading in `--help`. */
export const sharedGroup = 'The log and the blobs that processes share';

/** How Kafka is reached, beside its brokers' addresses. */
export const kafkaOptions = defineOptions({
  kafkaTls: {
    type: 'bool',
    flag: '--kafkaTls',
    env: ['WATERSHED_KAFKA_TLS'],
    default: false,
    group: sharedGroup,
    doc: 'Reach Kafka by TLS. Brokers must show certificates that --kafkaCaFile, or by default one of the public authorities, has signed.',
  },
  kafkaCaFile: {
    type: 'string',
    flag: '--kafkaCaFile',
    env: ['WATERSHED_KAFKA_CA_FILE'],
    placeholder: 'file',
    group: sharedGroup,
    doc: "Certificates (PEM) that sign the brokers'.",
  },
  kafkaCertFile: {
    type: 'string',
    flag: '--kafkaCertFile',
    env: ['WATERSHED_KAFKA_CERT_FILE'],
    placeholder: 'file',
    group: sharedGroup,
    doc: 'The certificate chain (PEM) to show to brokers that ask for one.',
  },
  kafkaKeyFile: {
    type: 'string',
    flag: '--kafkaKeyFile',
    env: ['WATERSHED_KAFKA_KEY_FILE'],
    placeholder: 'file',
    group: sharedGroup,
    doc: 'Its key.',
  },
  kafkaSaslMechanism: {
    type: 'enum',
    flag: '--kafkaSaslMechanism',
    env: ['WATERSHED_KAFKA_SASL_MECHANISM'],
    values: ['none', 'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'],
    default: 'none',
    group: sharedGroup,
    doc: 'How this process says who it is, by --kafkaUsername and a password. PLAIN shows the password to the brokers: only with TLS.',
  },
  kafkaUsername: {
    type: 'string',
    flag: '--kafkaUsername',
    env: ['WATERSHED_KAFKA_USERNAME'],
    placeholder: 'name',
    group: sharedGroup,
    doc: 'Each tier can have its own, with its own rights; the README says which it needs.',
  },
  kafkaPassword: {
    type: 'string',
    env: ['WATERSHED_KAFKA_PASSWORD'],
    secret: true,
    group: sharedGroup,
    doc: 'Of --kafkaUsername.',
  },
  kafkaPrefix: {
    type: 'string',
    flag: '--kafkaPrefix',
    env: ['WATERSHED_KAFKA_PREFIX'],
    default: '',
    pattern: /^[A-Za-z0-9._-]{0,200}$/u,
    form: 'letters, digits and `.`, `_`, `-`',
    placeholder: 'prefix',
    group: sharedGroup,
    doc: 'Names of topics and of the group begin with it: several Watersheds that share a Kafka have one each, all processes of one the same. Default: none.',
  },
  kafkaCompression: {
    type: 'enum',
    flag: '--kafkaCompression',
    env: ['WATERSHED_KAFKA_COMPRESSION'],
    values: ['none', 'gzip', 'zstd'],
    default: 'none',
    group: sharedGroup,
    doc: 'Of batches that are appended: fewer bytes on the wire and on disks, more CPU. Processes may differ.',
  },
});

/** For `Program.check`: TLS and SASL are given whole, or not. */
export function checkKafka(config: ConfigOf<typeof kafkaOptions>): readonly string[] {
  const { kafkaTls, kafkaSaslMechanism: mechanism, kafkaUsername, kafkaPassword } = config;
  const problems: string[] = [];
  const files = [config.kafkaCaFile, config.kafkaCertFile, config.kafkaKeyFile];
  if (!kafkaTls && files.some((file) => file !== undefined)) {
    problems.push('--kafkaTls: must be true where files for TLS are given');
  }
  if ((config.kafkaCertFile === undefined) !== (config.kafkaKeyFile === undefined)) {
    problems.push('--kafkaCertFile, --kafkaKeyFile: both, or none');
  }
  const named = kafkaUsername !== undefined && kafkaPassword !== undefined;
  if (mechanism !== 'none' && !named) {
    problems.push('--kafkaUsername, WATERSHED_KAFKA_PASSWORD: needed by --kafkaSaslMechanism');
  }
  if (mechanism === 'none' && (kafkaUsername ?? kafkaPassword) !== undefined) {
    problems.push('--kafkaSaslMechanism: needed where a user or a password is given');
  }
  if (mechanism === 'PLAIN' && !kafkaTls) {
    problems.push(
      '--kafkaSaslMechanism: PLAIN would show the password to everybody; use --kafkaTls',
    );
  }
  return problems;
}
