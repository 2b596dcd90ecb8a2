import { formatAddress } from '@watershed/runtime/address.ts';
import { describe, expect, test } from 'vitest';
import { envoyBootstrap, parseNodeId } from '../src/bootstrap.ts';
import { proxylessBootstrap } from '../src/proxyless-bootstrap.ts';
import { inOrder } from '../src/xds-order.ts';
import { table } from '../src/table.ts';

const options = {
  node: 'sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local',
  xdsHost: '127.0.0.1',
  xdsPort: 15010,
  delta: false,
  labels: { app: 'web' },
  metadata: {},
  adminPort: 15000,
  certDir: undefined,
};

describe('bootstrap grpc', () => {
  test('tells where the control plane is, and who asks, as istio agents say it', () => {
    expect(proxylessBootstrap(options)).toEqual({
      xds_servers: [
        {
          server_uri: '127.0.0.1:15010',
          channel_creds: [{ type: 'insecure' }],
          server_features: ['xds_v3'],
        },
      ],
      node: {
        id: options.node,
        cluster: 'web',
        metadata: {
          NAMESPACE: 'shop',
          NAME: 'web-1',
          INSTANCE_IPS: '10.0.0.1',
          CLUSTER_ID: 'Kubernetes',
          LABELS: { app: 'web' },
          GENERATOR: 'grpc',
        },
        locality: {},
      },
      server_listener_resource_name_template: 'xds.istio.io/grpc/lds/inbound/%s',
    });
  });

  test('--cert-dir is watched for certificates, and --tls shows them', () => {
    const certDir = '/etc/certs';
    const tls = { certDir, rootCertFile: '/etc/certs/root-cert.pem', serverName: '::1' };
    const config = { ...options, certDir, xdsHost: '::1', tls };
    const files = {
      certificate_file: '/etc/certs/cert-chain.pem',
      private_key_file: '/etc/certs/key.pem',
      ca_certificate_file: '/etc/certs/root-cert.pem',
      refresh_interval: '900s',
    };
    expect(proxylessBootstrap(config)).toMatchObject({
      xds_servers: [{ server_uri: '[::1]:15010', channel_creds: [{ type: 'tls', config: files }] }],
      node: { metadata: { WATERSHED_CERTS: 'files' } },
      certificate_providers: { default: { plugin_name: 'file_watcher', config: files } },
    });
  });
});

describe('bootstrap envoy', () => {
  test('a node id gives namespace, name and address as istio spells them', () => {
    expect(envoyBootstrap(options)['node']).toEqual({
      id: options.node,
      cluster: 'web',
      metadata: {
        NAMESPACE: 'shop',
        NAME: 'web-1',
        INSTANCE_IPS: '10.0.0.1',
        CLUSTER_ID: 'Kubernetes',
        LABELS: { app: 'web' },
      },
    });
  });

  test('--delta asks for delta xDS and tells that TTLs are known, and nothing else changes', () => {
    const sotw = JSON.stringify(envoyBootstrap(options));
    const delta = JSON.stringify(envoyBootstrap({ ...options, delta: true }));
    const features = '"client_features":["xds.config.supports-resource-ttl"],';
    expect(delta.replace(features, '')).toBe(
      sotw.replace('"api_type":"GRPC"', '"api_type":"DELTA_GRPC"'),
    );
  });

  test('--separate-streams asks by type, and for what resources refer to in the same way', () => {
    const config = envoyBootstrap({ ...options, delta: true, separateStreams: true });
    const text = JSON.stringify(config);
    expect(text).not.toContain('"ads');
    expect(
      text.match(/"lds_config":\{"api_config_source":\{"api_type":"DELTA_GRPC"/u),
    ).not.toBeNull();
    expect(text).toContain('"WATERSHED_STREAMS":"delta-grpc"');
  });

  test('--cert-dir adds the static secrets and tells the control plane of them', () => {
    const config = JSON.stringify(envoyBootstrap({ ...options, certDir: '/etc/certs' }));
    expect(config).toContain('"WATERSHED_CERTS":"files"');
    expect(config).toContain('/etc/certs/root-cert.pem');
  });

  test('TLS verifies the control plane and shows a certificate, or sends a token', () => {
    const tls = { rootCertFile: '/roots.pem', serverName: 'xds.local' };
    const withCertificate = JSON.stringify(
      envoyBootstrap({ ...options, tls: { ...tls, certDir: '/etc/certs' } }),
    );
    expect(withCertificate).toContain('"trusted_ca":{"filename":"/roots.pem"}');
    expect(withCertificate).toContain(
      '"certificate_chain":{"filename":"/etc/certs/cert-chain.pem"}',
    );
    expect(withCertificate).toContain('"san_type":"DNS","matcher":{"exact":"xds.local"}');
    expect(withCertificate).not.toContain('http_filters');
    const withToken = JSON.stringify(
      envoyBootstrap({ ...options, tls: { ...tls, serverName: '::1', tokenFile: '/token' } }),
    );
    expect(withToken).toContain('io.open(\\"/token\\")');
    expect(withToken).toContain('"san_type":"IP_ADDRESS","matcher":{"exact":"::1"}');
    expect(withToken).not.toContain('tls_certificates');
  });

  test('PINGs tell a control plane that hangs, one or several, on one stream or many', () => {
    const otherXds = [{ host: '127.0.0.1', port: 2 }];
    for (const more of [{}, { separateStreams: true }, { otherXds }]) {
      const config = JSON.stringify(envoyBootstrap({ ...options, ...more }));
      expect(config).toContain('"connection_keepalive":{"interval":"15s","timeout":"10s"}');
    }
  });

  test('metadata of the command line wins over what the flags give', () => {
    const config = envoyBootstrap({ ...options, metadata: { CLUSTER_ID: 'west', NETWORK: 'n1' } });
    expect(config['node']).toMatchObject({ metadata: { CLUSTER_ID: 'west', NETWORK: 'n1' } });
  });

  test('a host name is resolved by DNS, an address is used as it is', () => {
    expect(JSON.stringify(envoyBootstrap({ ...options, xdsHost: 'xds.local' }))).toContain(
      'STRICT_DNS',
    );
    expect(JSON.stringify(envoyBootstrap({ ...options, xdsHost: '::1' }))).toContain('"STATIC"');
    const otherXds = [{ host: 'xds.local', port: 1 }];
    expect(JSON.stringify(envoyBootstrap({ ...options, otherXds }))).toContain('STRICT_DNS');
  });

  test('pushers are tried in the order in which the ring has them for the namespace', () => {
    const addresses = [1, 2, 3].map((port) => ({ host: '10.0.0.1', port }));
    const ordered = inOrder(addresses, options.node);
    expect(ordered.map(formatAddress)).toEqual(['10.0.0.1:1', '10.0.0.1:3', '10.0.0.1:2']);
    expect(inOrder([...addresses].reverse(), options.node)).toEqual(ordered);
    const [first, ...otherXds] = ordered;
    const config = { ...options, xdsHost: first?.host ?? '', xdsPort: first?.port ?? 0, otherXds };
    const text = JSON.stringify(envoyBootstrap(config));
    const ports = [...text.matchAll(/"port_value":(\d)\}\}\}\}\](?:,"priority":(\d))?/gu)];
    expect(ports.map(([, port, priority = '0']) => [port, priority])).toEqual(
      ordered.map(({ port }, priority) => [`${port}`, `${priority}`]),
    );
    expect(text).toContain('outlier_detection');
    expect(JSON.stringify(envoyBootstrap(options))).not.toContain('outlier_detection');
    expect(proxylessBootstrap(config)['xds_servers']).toHaveLength(3);
  });

  test.each([
    'web-1',
    'sidecar~10.0.0.1~web-1~x',
    'waypoint~10.0.0.1~web-1.shop~x',
    'sidecar~10.0.0.1~.shop~x',
    'sidecar~10.0.0.1~web-1.shop~x~y',
  ])('node id %s is refused with the form that is wanted', (id) => {
    expect(() => parseNodeId(id)).toThrow(/must be TYPE~IP~POD\.NAMESPACE~DNS_DOMAIN/);
  });
});

test('a table pads each column to its widest cell', () => {
  expect(table(['A', 'B'], [['long', 'x']])).toBe('A       B\nlong    x');
});
