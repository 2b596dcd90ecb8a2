import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pack, resourceTypes, typeUrls } from '@watershed/proto/any.ts';
import { anyToJson, registry } from '@watershed/proto/registry.ts';
import { Listener } from '@watershed/proto/envoy/config/listener/v3/listener.ts';
import { Router } from '@watershed/proto/envoy/extensions/filters/http/router/v3/router.ts';
import { HttpConnectionManager } from '@watershed/proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { Secret } from '@watershed/proto/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DownstreamTlsContext } from '@watershed/proto/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { TypedExtensionConfig } from '@watershed/proto/envoy/config/core/v3/extension.ts';
import type { Any } from '@watershed/proto/google/protobuf/any.ts';

function listener(): Any {
  const router = pack(typeUrls.router, Router, Router.fromPartial({ suppressEnvoyHeaders: true }));
  const manager = HttpConnectionManager.fromPartial({
    statPrefix: 'in',
    streamIdleTimeout: { seconds: 0, nanos: 0 },
    httpFilters: [
      { name: 'router', configType: { $case: 'typedConfig', value: router } },
      {
        name: 'unknown',
        configType: {
          $case: 'typedConfig',
          value: { typeUrl: 'type.googleapis.com/a.B', value: new Uint8Array([1, 2]) },
        },
      },
    ],
  });
  const typedConfig = pack(typeUrls.httpConnectionManager, HttpConnectionManager, manager);
  const message = Listener.fromPartial({
    name: 'l',
    listenerFiltersTimeout: { seconds: 1, nanos: 500_000_000 },
    filterChains: [
      { filters: [{ name: 'hcm', configType: { $case: 'typedConfig', value: typedConfig } }] },
    ],
  });
  return pack(typeUrls.listener, Listener, message);
}

test('the JSON of an Any has "@type" first and nested Anys expanded', () => {
  const expected = {
    '@type': typeUrls.listener,
    name: 'l',
    filterChains: [
      {
        filters: [
          {
            name: 'hcm',
            typedConfig: {
              '@type': typeUrls.httpConnectionManager,
              statPrefix: 'in',
              httpFilters: [
                {
                  name: 'router',
                  typedConfig: { '@type': typeUrls.router, suppressEnvoyHeaders: true },
                },
                {
                  name: 'unknown',
                  typedConfig: { '@type': 'type.googleapis.com/a.B', value: 'AQI=' },
                },
              ],
              streamIdleTimeout: '0s',
            },
          },
        ],
      },
    ],
    listenerFiltersTimeout: '1.500s',
  };
  const actual = anyToJson(listener());
  expect(actual).toEqual(expected);
  expect(JSON.stringify(actual)).toMatch(/^\{"@type":/);
});

test('what is nested deeper than asked for stays base64', () => {
  const text = JSON.stringify(anyToJson(listener(), 1));
  expect(text).toContain(`"typedConfig":{"@type":"${typeUrls.httpConnectionManager}","value":"`);
  expect(anyToJson(listener(), 0)).toEqual({
    '@type': typeUrls.listener,
    value: Buffer.from(listener().value).toString('base64'),
  });
});

test('an endless nesting of Anys is cut at the depth', () => {
  let any = pack(typeUrls.router, Router, Router.fromPartial({}));
  for (let i = 0; i < 200; i++) {
    const config = TypedExtensionConfig.fromPartial({ name: 'x', typedConfig: any });
    any = pack(typeUrls.extensionConfig, TypedExtensionConfig, config);
  }
  const text = JSON.stringify(anyToJson(any));
  expect(text.split('"name":"x"')).toHaveLength(11);
});

test('bytes that do not decode stay base64', () => {
  const any = { typeUrl: typeUrls.cluster, value: new Uint8Array([10, 200, 1]) };
  expect(anyToJson(any)).toEqual({ '@type': typeUrls.cluster, value: 'CsgB' });
});

test('private keys and passwords are never shown', () => {
  const secret = 'hunter2';
  const bytes = { specifier: { $case: 'inlineBytes' as const, value: Buffer.from(secret) } };
  const text = { specifier: { $case: 'inlineString' as const, value: secret } };
  const certificate = { certificateChain: text, privateKey: bytes, password: text, pkcs12: bytes };
  const type = { $case: 'tlsCertificate' as const, value: certificate };
  const context = { commonTlsContext: { tlsCertificates: [{ privateKey: text }] } };
  const shown = JSON.stringify([
    anyToJson(pack(typeUrls.secret, Secret, Secret.fromPartial({ name: 'a', type }))),
    anyToJson(
      pack(
        typeUrls.secret,
        Secret,
        Secret.fromPartial({
          type: { $case: 'sessionTicketKeys', value: { keys: [bytes, text] } },
        }),
      ),
    ),
    anyToJson(
      pack(
        typeUrls.secret,
        Secret,
        Secret.fromPartial({ type: { $case: 'genericSecret', value: { secret: text } } }),
      ),
    ),
    anyToJson(
      pack(
        typeUrls.downstreamTlsContext,
        DownstreamTlsContext,
        DownstreamTlsContext.fromPartial(context),
      ),
    ),
  ]);
  expect(shown).toContain('"certificateChain":{"inlineString":"hunter2"}');
  expect(shown.split('hunter2')).toHaveLength(2);
  expect(shown).not.toContain(Buffer.from(secret).toString('base64'));
  expect(shown.split('"[redacted]"')).toHaveLength(5);
});

test('each type URL has a codec and is a root of the generation', () => {
  const folder = join(import.meta.dirname, '../roots');
  const roots = ['envoy.txt', 'istio.txt'].flatMap((name) =>
    readFileSync(join(folder, name), 'utf8').split('\n'),
  );
  for (const typeUrl of Object.values(typeUrls)) {
    expect(roots).toContain(typeUrl.replace('type.googleapis.com/', ''));
    const codec = registry.get(typeUrl);
    expect(codec?.toJSON(codec.decode(new Uint8Array(0)))).toEqual({});
  }
  expect(new Set(Object.values(typeUrls)).size).toBe(registry.size);
  expect(resourceTypes.endpoint).toBe(
    'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  );
});
