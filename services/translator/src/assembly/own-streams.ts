/** Over which streams a client asks for what its resources refer to. */
import { OwnStreams, type ScopeClass } from '@watershed/model/gen/record.ts';
import type { Streams } from '../generators/config-source.ts';

export function streamsOf({ ownStreams }: Pick<ScopeClass, 'ownStreams'>): Streams {
  switch (ownStreams) {
    case OwnStreams.OWN_STREAMS_GRPC:
      return 'grpc';
    case OwnStreams.OWN_STREAMS_DELTA_GRPC:
      return 'delta-grpc';
    default:
      return '';
  }
}

/** From a variant. */
export function streamsFrom(text: string): Streams {
  return text === 'grpc' || text === 'delta-grpc' ? text : '';
}
