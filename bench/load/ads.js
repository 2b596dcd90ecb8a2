/**
 * A load test with k6: proxies that connect, ask for all clusters and listeners by delta ADS, and
 * ACK what they are sent, for as long as it says. A VU is one connection.
 *
 *     k6 run -e XDS_ADDRESS=127.0.0.1:15010 --vus 100 --duration 60s bench/load/ads.js
 *
 * Environment: XDS_ADDRESS (HOST:PORT, default 127.0.0.1:15010), XDS_STREAMS of each connection
 * (default 10), XDS_HOLD_S seconds that streams stay (default 30), XDS_NODE (default
 * `sidecar~10.0.0.7~web-{}.shop~shop.svc.cluster.local`, where {} is a number of its own),
 * XDS_TLS=true with XDS_TOKEN_FILE for a listener that authenticates.
 */
import grpc from 'k6/net/grpc';
import { Counter, Trend } from 'k6/metrics';

const types = ['envoy.config.cluster.v3.Cluster', 'envoy.config.listener.v3.Listener'];

const {
  XDS_ADDRESS: address = '127.0.0.1:15010',
  XDS_STREAMS: streams = '10',
  XDS_HOLD_S: holdS = '30',
  XDS_NODE: node = 'sidecar~10.0.0.7~web-{}.shop~shop.svc.cluster.local',
  XDS_TLS: tls = 'false',
  XDS_TOKEN_FILE: tokenFile = '',
} = __ENV;

/** From the opening of a stream to its first response, in ms. */
const first = new Trend('xds_first_response', true);
const responses = new Counter('xds_responses');
const resources = new Counter('xds_resources');
const failed = new Counter('xds_streams_failed');

export const options = { thresholds: { xds_streams_failed: ['count==0'] } };

const client = new grpc.Client();
client.load([], 'ads.proto');
const metadata = tokenFile === '' ? {} : { authorization: `Bearer ${open(tokenFile).trim()}` };

export default function proxies() {
  client.connect(address, { plaintext: tls !== 'true' });
  let left = Number(streams);
  for (let index = 0; index < Number(streams); index++) {
    proxy(`${__VU}-${__ITER}-${index}`, () => {
      if (--left === 0) client.close();
    });
  }
}

function proxy(name, ended) {
  const method = 'envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
  const stream = new grpc.Stream(client, method, { metadata });
  const openedMs = Date.now();
  let isFirst = true;
  let leaves = false;
  stream.on('data', ({ typeUrl, nonce, resources: some = [] }) => {
    if (isFirst) first.add(Date.now() - openedMs);
    isFirst = false;
    responses.add(1);
    resources.add(some.length);
    if (!leaves) stream.write({ typeUrl, responseNonce: nonce });
  });
  stream.on('error', (error) => {
    failed.add(1);
    console.error(`${name}: ${error.code} ${error.message}`);
  });
  stream.on('end', ended);
  types.forEach((type, at) => {
    const request = { typeUrl: `type.googleapis.com/${type}` };
    if (at === 0) request.node = { id: node.replace('{}', name), cluster: 'load' };
    stream.write(request);
  });
  setTimeout(
    () => {
      leaves = true;
      stream.end();
    },
    Number(holdS) * 1_000,
  );
}
