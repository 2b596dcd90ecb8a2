import {
  AuthenticationError,
  MultipleErrors,
  ProtocolError,
  UserError,
  protocolErrorsCodesById,
} from '@platformatic/kafka';
import { LogError } from '../port.ts';

/** Kafka's error codes that are told apart (https://kafka.apache.org/protocol#protocol_error_codes). */
export const code = {
  none: 0,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopicOrPartition: 3,
  messageTooLarge: 10,
  invalidTopic: 17,
  recordListTooLarge: 18,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  unsupportedVersion: 35,
  topicAlreadyExists: 36,
  invalidReplicationFactor: 38,
  invalidConfig: 40,
  policyViolation: 44,
  outOfOrderSequenceNumber: 45,
  duplicateSequenceNumber: 46,
  invalidProducerEpoch: 47,
  unknownProducerId: 59,
  fetchSessionIdNotFound: 70,
  invalidFetchSessionEpoch: 71,
  offsetNotAvailable: 78,
  unknownTopicId: 100,
  inconsistentTopicId: 103,
  fetchSessionTopicIdError: 106,
} as const;

function nameOf(errorCode: number): string {
  return protocolErrorsCodesById[errorCode] ?? `error ${errorCode}`;
}

export interface Refused {
  /** The operation that an ACL must allow for it. */
  readonly needs: 'CREATE' | 'DESCRIBE' | 'READ' | 'WRITE';
  /** The broker's own words. */
  readonly detail?: string | null | undefined;
}

/** A broker's refusal of something; what is not known to be final may go away. */
export function refusal(errorCode: number, what: string, { needs, detail }: Refused): LogError {
  const because = `${nameOf(errorCode)}${detail === null || detail === undefined ? '' : `, ${detail}`}`;
  const message = `kafka: cannot ${what} (${because})`;
  switch (errorCode) {
    case code.topicAuthorizationFailed:
    case code.groupAuthorizationFailed:
    case code.clusterAuthorizationFailed:
      return notAllowed(`${message}: an ACL must allow ${needs}`);
    case code.messageTooLarge:
    case code.recordListTooLarge:
      return new LogError('record-too-large', message, { retriable: false });
    case code.corruptMessage:
      return new LogError('corrupt', message, { retriable: false });
    case code.unsupportedVersion:
    case code.invalidTopic:
    case code.invalidReplicationFactor:
    case code.invalidConfig:
    case code.policyViolation:
      return new LogError('unavailable', message, { retriable: false });
    default:
      return new LogError('unavailable', message, { retriable: true });
  }
}

/** What a failed call means for the log's caller: mostly that the broker cannot be reached now. */
export function failure(what: string, cause: unknown): LogError {
  if (cause instanceof LogError) return cause;
  const message = `kafka: cannot ${what} (${reasonOf(cause)})`;
  if (isUnknown(cause)) return notAllowed(message, cause);
  if (isKeptOut(cause)) return notAllowed(`${message}: an ACL must allow READ`, cause);
  const retriable = !(cause instanceof UserError);
  return new LogError('unavailable', message, { retriable, cause });
}

/**
 * Not for good: rights are granted, and passwords set, while a process runs that serves what it has
 * meanwhile.
 */
function notAllowed(message: string, cause?: unknown): LogError {
  return new LogError('not-allowed', message, { retriable: true, cause });
}

/** Whether the same call may succeed within its time-out. What nobody may is told at once. */
export function isWorthWaiting({ retriable, code: kind }: LogError): boolean {
  return retriable && kind !== 'not-allowed';
}

/** Of a group, which is joined by the client's own calls. */
function isKeptOut(cause: unknown): boolean {
  if (!(cause instanceof MultipleErrors)) return false;
  return cause.errors.some(
    (error) => error instanceof ProtocolError && error['apiCode'] === code.groupAuthorizationFailed,
  );
}

function isUnknown(cause: unknown): boolean {
  if (cause instanceof AuthenticationError) return true;
  return cause instanceof Error && cause.cause instanceof AuthenticationError;
}

function reasonOf(cause: unknown): string {
  if (cause instanceof MultipleErrors) {
    return cause.errors.map((error) => (error instanceof Error ? error.message : '?')).join('; ');
  }
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? `${cause.message} ${cause.cause.message}` : cause.message;
}
