package flinkyarn.tests;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;

import org.apache.hadoop.net.StandardSocketFactory;

/**
 * Connections that come from the address of a node. Loopback connections come from 127.0.0.1 otherwise, whatever address a
 * daemon listens on, and a NameNode tells clients to look for a DataNode where its connection came from.
 */
public class NodeSocketFactory extends StandardSocketFactory {
  private static final String ADDRESS = System.getProperty("flinkyarn.node.address");

  @Override
  public Socket createSocket() throws IOException {
    Socket socket = super.createSocket();
    socket.bind(new InetSocketAddress(ADDRESS, 0));
    return socket;
  }
}
