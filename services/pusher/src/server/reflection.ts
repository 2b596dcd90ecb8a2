/** gRPC server reflection (grpc/grpc `doc/server-reflection.md`): v1, and its like v1alpha. */
import { readDescriptors } from '@watershed/proto/descriptors.ts';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '@watershed/proto/grpc/reflection/v1/reflection.ts';
import type { ServingState } from '../serving.ts';
import { DescriptorIndex } from './descriptor-index.ts';
import type { Row } from './guard.ts';
import { lasting } from './lasting.ts';
import { status, type CallHandler, type ServerCall } from './port.ts';
import { framed } from './unary.ts';

type Answer = ServerReflectionResponse['messageResponse'];

const services = [
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];

/** `others`: the services that it tells of, besides itself. */
export function reflectionRows(others: ReadonlySet<string>, serving: ServingState): readonly Row[] {
  const names = [...others, ...services].sort();
  // Read when somebody asks, and not before.
  let index: DescriptorIndex | undefined;
  return services.map((service) => ({
    path: `/${service}/ServerReflectionInfo`,
    access: 'public',
    open: (call) => {
      const answer = answering(names, () => (index ??= new DescriptorIndex(readDescriptors())));
      return lasting(call, serving, openReflection(call, answer));
    },
  }));
}

type Answering = (asked: ServerReflectionRequest['messageRequest']) => Answer;

/** Answers one client. */
function answering(names: readonly string[], index: () => DescriptorIndex): Answering {
  /** Files that this client has. */
  const sent = new Set<string>();
  return (asked) => {
    switch (asked?.$case) {
      case 'listServices':
        return {
          $case: 'listServicesResponse',
          value: { service: names.map((name) => ({ name })) },
        };
      case 'fileByFilename':
        return filesOf(index(), asked.value, asked.value, sent);
      case 'fileContainingSymbol':
        return filesOf(index(), index().fileOf(asked.value), asked.value, sent);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = asked.value;
        const file = index().extensionsOf(containingType).get(extensionNumber);
        return filesOf(index(), file, `extension ${extensionNumber} of ${containingType}`, sent);
      }
      case 'allExtensionNumbersOfType': {
        if (index().fileOf(asked.value) === undefined) return notFound(asked.value);
        const extensionNumber = [...index().extensionsOf(asked.value).keys()].sort((a, b) => a - b);
        return {
          $case: 'allExtensionNumbersResponse',
          value: { baseTypeName: asked.value, extensionNumber },
        };
      }
      default:
        return errorOf(status.invalidArgument, 'nothing was asked');
    }
  };
}

function openReflection(call: ServerCall, answer: Answering): CallHandler {
  const waiting: ServerReflectionRequest[] = [];
  let blocked = false;
  let ended = false;
  const pump = (): void => {
    while (!blocked) {
      const originalRequest = waiting.shift();
      if (originalRequest === undefined) break;
      const messageResponse = answer(originalRequest.messageRequest);
      const response = { validHost: originalRequest.host, originalRequest, messageResponse };
      blocked = !call.write(framed(ServerReflectionResponse.encode(response).finish()));
    }
    if (ended && waiting.length === 0) call.end({ code: status.ok, message: '' });
  };
  return {
    message: (bytes) => {
      const request = bytes.length > maxRequestBytes ? undefined : decode(bytes);
      if (request === undefined) {
        call.end({ code: status.invalidArgument, message: 'not a ServerReflectionRequest' });
      } else if (waiting.length >= maxWaiting) {
        call.end({ code: status.resourceExhausted, message: 'more is asked than is read' });
      } else {
        waiting.push(request);
        pump();
      }
    },
    halfClosed: () => {
      ended = true;
      pump();
    },
    drain: () => {
      blocked = false;
      pump();
    },
    closed: () => {
      waiting.length = 0;
      blocked = true;
    },
  };
}

/** Names are short. */
const maxRequestBytes = 4 * 1024;
/** Of a client that asks faster than it reads. */
const maxWaiting = 256;

function decode(bytes: Uint8Array): ServerReflectionRequest | undefined {
  try {
    return ServerReflectionRequest.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The file and what it imports, as far as the client does not have it. */
function filesOf(
  index: DescriptorIndex,
  name: string | undefined,
  what: string,
  sent: Set<string>,
): Answer {
  if (name === undefined || index.file(name) === undefined) return notFound(what);
  const found: Uint8Array[] = [];
  const walk = (path: string): void => {
    const file = index.file(path);
    if (file === undefined || sent.has(path)) return;
    sent.add(path);
    found.push(file.bytes);
    for (const imported of file.imports) walk(imported);
  };
  // What is asked for is answered, though it was sent before.
  sent.delete(name);
  walk(name);
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: found } };
}

function notFound(what: string): Answer {
  return errorOf(status.notFound, `not known: ${what.slice(0, 256)}`);
}

function errorOf(errorCode: number, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
