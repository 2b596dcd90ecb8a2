/** A workload of grpc-js without a proxy, moved by lines of JSON (see peer.ts). */
import { createInterface } from 'node:readline';
import {
  Client,
  credentials,
  Metadata,
  ServerCredentials,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import {
  register,
  XdsChannelCredentials,
  XdsServer,
  XdsServerCredentials,
} from '@grpc/grpc-js-xds';
import type { Calls, Order, Report, Serve } from './peer.ts';

register();

const clients = new Map<string, Client>();
const calling = { stopped: false };

const same = (body: Buffer): Buffer => body;

function say(report: Report): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

function clientOf(target: string): Client {
  let known = clients.get(target);
  if (known === undefined) {
    known = new Client(target, new XdsChannelCredentials(credentials.createInsecure()));
    clients.set(target, known);
  }
  return known;
}

interface Outcome {
  readonly code: number;
  readonly server: string;
  readonly message: string;
}

function call(order: Calls): Promise<Outcome> {
  return new Promise((resolve) => {
    let server = '';
    const metadata = Metadata.fromHttp2Headers(order.metadata);
    const deadline = Date.now() + order.timeoutMs;
    const done = (error: ServiceError | null): void => {
      resolve({ code: error?.code ?? 0, server, message: error?.message ?? '' });
    };
    clientOf(order.target)
      .makeUnaryRequest(
        order.method,
        same,
        same,
        Buffer.alloc(0),
        metadata,
        { deadline },
        (error) => done(error),
      )
      .on('metadata', (headers: Metadata) => {
        server = String(headers.get('x-backend')[0] ?? '');
      });
  });
}

async function calls(order: Calls): Promise<void> {
  const codes: Record<string, number> = {};
  const servers: Record<string, number> = {};
  const messages: string[] = [];
  let maxMs = 0;
  let begun = 0;
  const work = async (): Promise<void> => {
    while (begun < order.count && !calling.stopped) {
      begun += 1;
      const since = performance.now();
      const { code, server, message } = await call(order);
      maxMs = Math.max(maxMs, performance.now() - since);
      codes[code] = (codes[code] ?? 0) + 1;
      if (code === 0) servers[server] = (servers[server] ?? 0) + 1;
      else if (messages.length < 5) messages.push(message);
    }
  };
  await Promise.all(Array.from({ length: order.parallel }, work));
  say({ id: order.id, codes, servers, messages, maxMs });
}

function serve({ id, address, name }: Serve): void {
  const server = new XdsServer();
  const method = {
    ...{ path: '/watershed.test.Echo/Call', requestStream: false, responseStream: false },
    ...{ requestSerialize: same, requestDeserialize: same },
    ...{ responseSerialize: same, responseDeserialize: same },
  };
  server.addService(
    { call: method },
    {
      call: (received: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
        received.sendMetadata(Metadata.fromHttp2Headers({ 'x-backend': name }));
        callback(null, received.request);
      },
    },
  );
  const creds = new XdsServerCredentials(ServerCredentials.createInsecure());
  server.bindAsync(address, creds, (error) => {
    say(error === null ? { id } : { id, error: error.message });
  });
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line) as Order;
    switch (order.op) {
      case 'calls':
        void calls(order);
        return;
      case 'serve':
        serve(order);
        return;
      case 'stop':
      case 'go':
        calling.stopped = order.op === 'stop';
    }
  })
  .once('close', () => process.exit(0));
