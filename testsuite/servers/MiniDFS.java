import java.io.File;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;

/** A name node and a data node of HDFS in one process. Arguments: the name node's port, and a folder for their state. */
public class MiniDFS {
  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    conf.set("hdfs.minidfs.basedir", new File(args[1]).getAbsolutePath());
    conf.set("dfs.permissions.enabled", "true");
    conf.set("dfs.namenode.fs-limits.min-block-size", "0");
    conf.set("dfs.datanode.hostname", "127.0.0.1");
    MiniDFSCluster cluster =
        new MiniDFSCluster.Builder(conf).nameNodePort(Integer.parseInt(args[0])).numDataNodes(1).build();
    cluster.waitActive();
    System.out.println("ready");
    Thread.currentThread().join();
  }
}
