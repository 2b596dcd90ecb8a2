import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js';
import type { MessageFns } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';

export interface Rpc<Request, Response> {
  readonly path: string;
  readonly request: MessageFns<Request>;
  readonly response: MessageFns<Response>;
}

/** One unary call by the reference library; rejects with its ServiceError. */
export function callUnary<Request, Response>(
  port: number,
  { path, request, response }: Rpc<Request, Response>,
  message: Request,
  deadlineMs = 10_000,
): Promise<Response> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (value: Request) => Buffer.from(request.encode(value).finish()),
      (bytes: Buffer) => response.decode(bytes),
      message,
      { deadline: Date.now() + deadlineMs },
      (error: ServiceError | null, value?: Response) => {
        client.close();
        if (value !== undefined) resolve(value);
        else reject(error ?? new Error('neither an answer nor an error'));
      },
    );
  });
}

/** A stream to which all requests are given at once; resolves with all responses once it ends. */
export function callStream<Request, Response>(
  port: number,
  { path, request, response }: Rpc<Request, Response>,
  messages: readonly Request[],
): Promise<readonly Response[]> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const call = client.makeBidiStreamRequest(
    path,
    (value: Request) => Buffer.from(request.encode(value).finish()),
    (bytes: Buffer) => response.decode(bytes),
    { deadline: Date.now() + 10_000 },
  );
  const responses: Response[] = [];
  for (const message of messages) call.write(message);
  call.end();
  return new Promise((resolve, reject) => {
    call.on('data', (value: Response) => responses.push(value));
    call.on('error', reject);
    call.on('status', ({ code }) => {
      client.close();
      if (code === status.OK) resolve(responses);
    });
  });
}
