/** Format strings, as the oldest Envoy that is supported and the newest read them. */
import { describe, expect, it } from 'vitest';
import { validateWithEnvoy } from '../../../../test/components/envoy.ts';
import {
  formatProblem,
  headerValueProblem,
  headerVariables,
  logVariables,
} from '../../src/kinds/common/format.ts';

/** Of those that take not just anything. */
const argumentsOf: Readonly<Record<string, readonly string[]>> = {
  CEL: ['request.path'],
  COMMON_DURATION: ['DS_RX_BEG:DS_TX_END', 'DS_RX_BEG:DS_TX_END:ns'],
  FILTER_STATE: ['a', 'a:PLAIN', 'a:TYPED', 'a:FIELD:b'],
  GRPC_STATUS: ['', 'CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'],
  METADATA: ['CLUSTER', 'DYNAMIC', 'LISTENER', 'ROUTE', 'UPSTREAM_HOST', 'VIRTUAL_HOST:a:b'],
  PATH: ['', 'WQ', 'NQ:ORIG', 'WQ:PATH', ':ORIG_OR_PATH'],
  UPSTREAM_FILTER_STATE: ['a', 'a:PLAIN', 'a:TYPED', 'a:FIELD:b'],
};

/** Every way to write each variable. */
function formsOf(variables: typeof logVariables): readonly string[] {
  return [...variables].flatMap(([name, { given, takesLength }]) => {
    const taken = argumentsOf[name] ??
      {
        ...{ nothing: [''], options: ['', '%Y'], arguments: ['a'], headers: ['A', 'A?:B'] },
      }[String(given)] ?? [''];
    return taken.flatMap((text) => {
      const start = `%${name}${text === '' ? '' : `(${text})`}`;
      return takesLength ? [`${start}%`, `${start}:10%`] : [`${start}%`];
    });
  });
}

const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

function bootstrap(log: readonly string[], headers: readonly string[]): object {
  const route = {
    match: { prefix: '/' },
    direct_response: { status: 200 },
    request_headers_to_add: headers.map((value, at) => ({ header: { key: `x-${at}`, value } })),
  };
  const router = { '@type': type('filters.http.router.v3.Router') };
  const file = {
    '@type': type('access_loggers.file.v3.FileAccessLog'),
    path: '/dev/null',
    log_format: { text_format_source: { inline_string: log.join(' ') } },
  };
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'http',
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: router }],
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    access_log: [{ name: 'envoy.access_loggers.file', typed_config: file }],
  };
  const filters = [
    { name: 'envoy.filters.network.http_connection_manager', typed_config: manager },
  ];
  const address = { socket_address: { address: '127.0.0.1', port_value: 0 } };
  return { static_resources: { listeners: [{ address, filter_chains: [{ filters }] }] } };
}

describe.each(['1.36.4', undefined])('Envoy %s', (version) => {
  it('takes every variable that is known, in access logs and in headers', async () => {
    const log = formsOf(logVariables);
    const headers = formsOf(headerVariables);
    expect(log.filter((form) => formatProblem(form) !== undefined)).toEqual([]);
    expect(headers.filter((form) => headerValueProblem(form) !== undefined)).toEqual([]);
    const { valid, output } = await validateWithEnvoy(bootstrap(log, headers), version);
    expect({ valid, output: valid ? '' : output }).toEqual({ valid: true, output: '' });
  });

  it.each(['%PROTOCOL:3%', '%GRPC_STATUS(TEXT)%', '%METADATA(PLACE:a)%', '%FILTER_STATE(a:b)%'])(
    'refuses %s, as this does',
    async (form) => {
      expect(formatProblem(form)).toBeDefined();
      expect(await validateWithEnvoy(bootstrap([form], []), version)).toMatchObject({
        valid: false,
      });
    },
  );
});

it('Envoy 1.36 does not take variables of later ones, which are refused', async () => {
  const later = '%SPAN_ID%';
  expect(formatProblem(later)).toContain('of Envoy 1.36');
  expect(await validateWithEnvoy(bootstrap([later], []))).toMatchObject({ valid: true });
  expect(await validateWithEnvoy(bootstrap([later], []), '1.36.4')).toMatchObject({ valid: false });
});
