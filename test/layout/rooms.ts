/**
 * The rooms and what each may import: the table of ARCHITECTURE.md as data. Data flows one way and
 * imports follow it; `imports.test.ts` walks every file.
 */
export interface Room {
  /** A folder; a file belongs to the room with the longest matching path. */
  readonly path: string;
  /** Other rooms (or parts of them) that it may import. Its own files it always may. */
  readonly may: readonly Grant[];
  /** Whether it (or those of its files that match) may import `node:` modules. */
  readonly node?: true | RegExp;
  /** What sees the whole: any room, any package. */
  readonly all?: true;
}

export interface Grant {
  readonly room: string;
  /** Only types: nothing of it runs there. */
  readonly typesOnly?: true;
  /** Only targets that match. */
  readonly only?: RegExp;
  /** Only for importing files that match. */
  readonly from?: RegExp;
}

const istioProto = /^libs\/proto\/src\/(?:gen\/(?:istio|google)\/|istio-|strict-|any\.)/u;
/** And the names of types, which `any.ts` has. */
const discoveryProto =
  /^libs\/proto\/src\/(?:any|descriptors)\.ts|^libs\/proto\/src\/gen\/(?:envoy\/service\/discovery\/|envoy\/config\/core\/v3\/base|google\/(?:rpc|protobuf)\/|grpc\/)/u;

export const rooms: readonly Room[] = [
  { path: 'libs/derive/src', may: [] },
  { path: 'libs/model/src', may: [] },
  { path: 'libs/proto/src', may: [], node: /\/(?:istio-)?descriptors\.ts$/u },
  { path: 'libs/proto/scripts', may: [], node: true },
  { path: 'libs/blob/src', may: [{ room: 'libs/model/src' }], node: true },
  { path: 'libs/log/src', may: [{ room: 'libs/model/src' }], node: true },
  { path: 'libs/runtime/src', may: [{ room: 'libs/model/src' }], node: true },
  {
    path: 'services/ingester/src',
    may: [
      { room: 'libs/model/src' },
      { room: 'libs/proto/src', only: istioProto },
      { room: 'libs/derive/src' },
      { room: 'libs/log/src' },
      { room: 'libs/blob/src' },
      { room: 'libs/runtime/src' },
    ],
    node: true,
  },
  {
    path: 'services/translator/src',
    may: [
      { room: 'services/translator/src/generators' },
      { room: 'libs/model/src' },
      { room: 'libs/proto/src' },
      { room: 'libs/derive/src' },
      { room: 'libs/log/src' },
      { room: 'libs/blob/src' },
      { room: 'libs/runtime/src' },
    ],
    node: true,
  },
  {
    path: 'services/translator/src/generators',
    may: [
      // The types and the enums of the model: constants, nothing that runs.
      { room: 'libs/model/src' },
      { room: 'libs/proto/src' },
      { room: 'services/translator/src', typesOnly: true },
      // A type that is not Envoy's is one folder: what is read for it is in its `plan.ts`.
      {
        room: 'services/translator/src',
        from: /^services\/translator\/src\/generators\/\w+\/plan\.ts$/u,
      },
      { room: 'libs/derive/src', typesOnly: true, from: /\/plan\.ts$/u },
    ],
  },
  {
    path: 'services/pusher/src',
    may: [
      { room: 'libs/model/src' },
      { room: 'libs/proto/src', only: discoveryProto },
      // A sealed secret is opened for whom it is; people are shown what is sent.
      { room: 'libs/proto/src', from: /^services\/pusher\/src\/(?:secrets\.ts$|debug\/)/u },
      { room: 'libs/log/src' },
      { room: 'libs/blob/src' },
      { room: 'libs/runtime/src' },
    ],
    node: true,
  },
  { path: 'standalone', may: [], all: true, node: true },
  {
    path: 'cli/src',
    may: [
      { room: 'libs/model/src' },
      { room: 'libs/runtime/src' },
      // `xdsctl create-topics`.
      { room: 'libs/log/src', from: /^cli\/src\/commands\/create-topics\.ts$/u },
      // `xdsctl validate` says what the control plane would say.
      { room: 'services/ingester/src' },
      // `xdsctl bootstrap` names pushers in the order in which they expect the node.
      { room: 'services/pusher/src', only: /^services\/pusher\/src\/placement\/ring\.ts$/u },
    ],
    node: true,
  },
  { path: 'test', may: [], all: true, node: true },
  { path: 'bench', may: [], all: true, node: true },
  { path: 'examples', may: [], all: true, node: true },
];

/** Tests of a room see what the room sees, and what tests need. */
export const roomTests: readonly Grant[] = [
  { room: 'libs/model/src' },
  { room: 'libs/proto/src' },
  { room: 'libs/blob/src' },
  { room: 'libs/log/src' },
  { room: 'libs/runtime/src' },
  { room: 'libs/derive/src' },
  { room: 'test' },
];

/**
 * Packages (and modules of Node) that only some files may import: a client is known to its adapter
 * alone. A package that is not listed is not imported anywhere.
 */
export const packages: Readonly<Record<string, readonly RegExp[]>> = {
  '@bufbuild/protobuf': [
    /^libs\/(?:model|proto)\//u,
    /^services\/pusher\/test\//u,
    /^bench\//u,
    /^test\/e2e\/harness\/otlp-receiver\.ts$/u,
  ],
  '@grpc/grpc-js': [/^services\/pusher\/(?:src\/server|test)\//u, /^(?:test|bench)\//u],
  '@grpc/grpc-js-xds': [/^test\/components\/grpc\//u],
  '@grpc/proto-loader': [/^bench\/test\//u],
  'node:http2': [/^services\/pusher\/(?:src\/server|test)\//u, /^(?:test|bench)\//u],
  '@opentelemetry/api': [/^libs\/runtime\/src\/tracing-otlp\.ts$/u],
  '@opentelemetry/exporter-trace-otlp-proto': [/^libs\/runtime\/src\/tracing-otlp\.ts$/u],
  '@opentelemetry/resources': [/^libs\/runtime\/src\/tracing-otlp\.ts$/u],
  '@opentelemetry/sdk-trace': [/^libs\/runtime\/src\/tracing-otlp\.ts$/u],
  '@kubernetes/client-node': [/^services\/ingester\/src\/sources\/kubernetes-client\.ts$/u],
  commander: [/^libs\/runtime\/src\/options-parse\.ts$/u, /^cli\//u, /^bench\//u],
  hashring: [/^services\/pusher\/src\/placement\/ring\.ts$/u],
  ioredis: [/^libs\/blob\/src\/redis\.ts$/u],
  'fast-check': [/(?:^|\/)test\//u],
  '@platformatic/kafka': [
    /^libs\/log\/src\/kafka[^/]*(?:\.ts$|\/)/u,
    /^libs\/log\/test\//u,
    /^test\//u,
  ],
  kafkajs: [/^bench\/src\/log\//u],
  'node:sqlite': [
    /^libs\/log\/src\/embedded/u,
    /^libs\/log\/test\//u,
    /^cli\/src\/cluster\/lock\.ts$/u,
    /^libs\/blob\/(?:src\/disk\.ts$|test\/)/u,
  ],
  jose: [/^services\/pusher\/(?:src\/identity\/(?:tokens|token-review)\.ts$|test\/)/u, /^test\//u],
  'oxc-parser': [/^test\/layout\//u],
  pino: [/^libs\/runtime\/src\/logger\.ts$/u],
  'prom-client': [/^libs\/runtime\/src\/(?:metrics|event-loop-lag)\.ts$/u],
  re2js: [/^services\/(?:ingester|translator)\//u],
  vitest: [/(?:^|\/)test\//u, /^vitest\.config\.ts$/u],
  yaml: [/^services\/(?:ingester\/|translator\/test\/)/u, /^cli\//u, /^(?:test|bench|examples)\//u],
};

/** What stands at the top, and why nothing else does. */
export const topLevel: ReadonlySet<string> = new Set([
  '.ci',
  '.gitignore',
  '.npmrc',
  '.oxfmtrc.json',
  '.oxlintrc.json',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'README.md',
  'SECURITY.md',
  'bench',
  'cli',
  'docker-compose.yml',
  'docs',
  'examples',
  'k8s',
  'knip.json',
  'libs',
  'package-lock.json',
  'package.json',
  'services',
  'standalone',
  'test',
  'tsconfig.json',
  'vitest.config.ts',
]);
