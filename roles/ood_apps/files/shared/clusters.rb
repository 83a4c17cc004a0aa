# SPDX-License-Identifier: GPL-3.0-or-later
# What the portal knows of a cluster, with our limits, which the role ood_apps writes below "custom: ces:" of clusters.d.
class Cluster
  DEFAULTS = {
    max_cores: 1, max_memory: 4, max_gpus: 0, runners: ["podman"], wall_time: 6, partition: nil, shared_home: true, apps: nil,
    order: 0, image_check: [], image_check_seconds: 10
  }.freeze

  # Seconds that a launch may wait for an image's check. The role refuses others.
  LONGEST_CHECK = (0.1..60).freeze

  # Apps that a cluster offers only if the site has said something about it below "custom: ces:".
  NEEDS = { "jupyter_app" => :jupyter_image }.freeze

  attr_reader :id, :title

  def initialize(cluster)
    @id = cluster.id.to_s
    @title = cluster.metadata.title || @id
    @ces = DEFAULTS.merge(cluster.custom_config(:ces))
  end

  # The clusters that this user may use for an app, in the inventory's order.
  def self.usable(app)
    OodAppkit.clusters.select { |cluster| cluster.job_allow? && !cluster.custom_config(:ces).empty? }
             .map { |cluster| new(cluster) }.select { |cluster| cluster.offers?(app) }
                     .sort_by { |cluster| [cluster.setting(:order).to_i, cluster.id] }
  end

  def offers?(app) = (@ces[:apps].nil? || @ces[:apps].include?(app)) && (!NEEDS.key?(app) || !setting(NEEDS[app]).nil?)
  def max_cores = Integer(@ces[:max_cores])
  def max_memory = Integer(@ces[:max_memory])
  def max_gpus = Integer(@ces[:max_gpus])
  def runners = Array(@ces[:runners]).map(&:to_s)
  def shared_home? = @ces[:shared_home] != false
  def partition = @ces[:partition]
  # the program that says whether an image can work there, and its first words
  def image_check = Array(@ces[:image_check]).map(&:to_s)
  # how much longer a launch may take by it; what is no such time would keep everybody from launching, or wait for ever
  def image_check_seconds
    seconds = Float(@ces[:image_check_seconds], exception: false)
    seconds && LONGEST_CHECK.cover?(seconds) ? seconds : DEFAULTS[:image_check_seconds]
  end
  # seconds
  def wall_time = (Float(@ces[:wall_time]) * 3600).to_i
  # as the names of directives in a form have it
  def token = id.downcase.tr("_", "-")

  # More of what a site wrote below "custom: ces:", for an app that has settings of its own.
  def setting(name, default = nil) = @ces.fetch(name.to_sym, default)
end
