export interface PeerResults {
  readonly x: 1;
}
