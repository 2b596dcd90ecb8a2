/**
 * The endpoints of a cluster, as fragments of a ClusterLoadAssignment: a head with its name, then
 * one per locality, so that a change in one locality of a big host encodes that locality alone.
 */
import { ClusterLoadAssignment } from '@watershed/proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import type { Generator } from '../plan.ts';
import { localityOf, type LocalityArgument } from './addresses.ts';

export interface AssignmentArgument {
  readonly clusterName: string;
}

export const assignmentHead: Generator<AssignmentArgument> = {
  name: 'assignment',
  version: 1,
  inline: true,
  generate({ clusterName }) {
    const message = ClusterLoadAssignment.fromPartial({ clusterName });
    return { bytes: ClusterLoadAssignment.encode(message).finish() };
  },
};

export const localityEndpoints: Generator<LocalityArgument> = {
  name: 'locality-endpoints',
  version: 1,
  inline: true,
  generate(argument) {
    const message = ClusterLoadAssignment.fromPartial({});
    message.endpoints = [localityOf(argument)];
    return { bytes: ClusterLoadAssignment.encode(message).finish() };
  },
};
